from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from catalog import Catalog
from orchestrator.commands.plan import PriceError, parse_price
from orchestrator.planning.cost import START_UP_SECONDS
from orchestrator.planning.explanation import Position
from orchestrator.planning.measured import Measured, choose_rates, measured_rates
from orchestrator.planning.measurement_files import RatesError, read_rates
from orchestrator.planning.rates import CPU_CORE, GPUS, Sample, UnknownGpuError, gpu_named, gpu_of
from tests.support.finished_study import build, finish

NOTHING = Measured((), {})
TAM8 = Position("tam", "resnet50", False, 8)
A100 = "NVIDIA A100-SXM4-80GB"


def sample(device: str = A100, tflops: float = 50.0, **axes: Any) -> Sample:
    place: dict[str, Any] = {"module": "tam", "backbone": "resnet50", "temporal_pooling": False, "frames": 8}
    return Sample(device, **(place | axes), flops=tflops * 1e12 * 10, seconds=10.0)


@pytest.mark.parametrize(
    ("device", "name"),
    [
        (A100, "a100"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("Tesla V100-SXM2-16GB", "v100"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
    ],
)
def test_cudas_names_are_recognised(device: str, name: str) -> None:
    assert gpu_of(device) == GPUS[name]


def test_an_unknown_gpu_is_refused_with_those_known() -> None:
    assert gpu_of("Imaginary 9000") is None
    with pytest.raises(UnknownGpuError, match=r"unknown GPU 'h1000'; did you mean h100\?; --gpu; known: b"):
        gpu_named("h1000")


def test_before_anything_was_measured_the_study_bill_holds() -> None:
    rates = choose_rates(NOTHING, on_gpus=True)
    assert rates.of(TAM8).tflops == pytest.approx(64.0)
    assert not rates.of(TAM8).measured
    assert rates.start_up_seconds == START_UP_SECONDS
    assert choose_rates(NOTHING, on_gpus=True, gpu="h100").of(TAM8).tflops == pytest.approx(64 * 989 / 312)
    assert choose_rates(NOTHING, on_gpus=False).gpu is CPU_CORE


def test_the_most_alike_measured_cells_count() -> None:
    measured = Measured(
        (
            sample(tflops=40.0),
            sample(tflops=20.0, frames=32),
            sample(tflops=10.0, module="i3d"),
            sample(tflops=30.0, temporal_pooling=True),
        ),
        {A100: 7.0},
    )
    rates = choose_rates(measured, on_gpus=True)
    assert rates.start_up_seconds == 7.0

    def of(*place: Any) -> float:
        return rates.of(Position(*place)).tflops

    assert of("tam", "resnet50", False, 8) == pytest.approx(40.0)
    assert of("tam", "resnet50", True, 32) == pytest.approx(20.0)
    assert of("tam", "resnet50", False, 64) == pytest.approx((40 + 20 + 30) / 3)
    assert of("s3d", "resnet50", False, 8) == pytest.approx((40 + 20 + 10 + 30) / 4)
    other = rates.of(Position("tam", "resnet18", False, 8))
    assert (other.tflops, other.measured) == (pytest.approx(64.0), False)


def test_other_devices_do_not_count() -> None:
    measured = Measured(
        (sample(tflops=40.0), sample("NVIDIA H100 PCIe", 90.0), sample("CPU x86_64", 0.01)), {}
    )
    assert choose_rates(measured, on_gpus=True, gpu="h100-pcie").of(TAM8).tflops == pytest.approx(90.0)
    assert not choose_rates(measured, on_gpus=True, gpu="l4").of(TAM8).measured
    assert choose_rates(measured, on_gpus=False).of(TAM8).tflops == pytest.approx(0.01)


def test_an_unknown_device_runs_other_models_as_it_ran_those_measured() -> None:
    rates = choose_rates(Measured((sample("Imaginary 9000", 5.0),), {}), on_gpus=True)
    assert rates.of(Position("tam", "resnet18", False, 8)).tflops == pytest.approx(5.0)


def test_finished_cells_of_a_storage_are_measurements(tmp_path: Path) -> None:
    build(tmp_path)
    plan = finish(tmp_path)
    with Catalog.open(tmp_path) as catalog:
        measured = measured_rates(catalog)
    assert len(measured.samples) == 4
    assert measured.start_up_seconds == {"CPU x86_64": pytest.approx(10.0)}
    first = plan.cells[0]
    rates = choose_rates(measured, on_gpus=False)
    assert first.flops is not None
    assert rates.of(first.cell).tflops * 1e12 == pytest.approx(first.flops / 20.0)


ROW = {
    "gpu": "NVIDIA H100 80GB HBM3",
    "model": "TAM-ResNet50",
    "frames": 8,
    "batch": 32,
    "variant": "fp32",
    "clips_per_s": 100.0,
    "tflops": 30.0,
    "of_peak": 0.1,
}


def rates_file(folder: Path, *rows: Any) -> Path:
    path = folder / "rates.json"
    path.write_text(json.dumps(list(rows)))
    return path


def test_a_file_gives_each_model_its_default_or_its_fastest_variant(tmp_path: Path) -> None:
    path = rates_file(
        tmp_path,
        ROW,
        ROW | {"variant": "bf16", "tflops": 90.0},
        ROW | {"frames": 32},
        ROW | {"frames": 32, "variant": "default", "tflops": 20.0},
        ROW | {"model": "I3D-InceptionV1-tp", "tflops": 11.0},
    )
    rates = choose_rates(NOTHING, on_gpus=True, file=path)
    assert rates.gpu is GPUS["h100"]
    assert rates.of(TAM8).tflops == pytest.approx(90.0)
    assert rates.of(Position("tam", "resnet50", False, 32)).tflops == pytest.approx(20.0)
    assert rates.of(Position("i3d", "inception_v1", True, 8)).tflops == pytest.approx(11.0)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[", "rates are no JSON"),
        ("{}", "rates are not a list of rows"),
        ("[]", "rates are not a list of rows"),
        (json.dumps([ROW, 3]), "row 2"),
        (json.dumps([{**ROW, "tflops": -1}]), "tflops: input should be greater than 0"),
        (json.dumps([{**ROW, "clips_per_s": "fast"}]), "clips_per_s: "),
        (json.dumps([{**ROW, "model": "VGG-16"}]), "unknown model 'VGG-16'"),
        (json.dumps([{k: v for k, v in ROW.items() if k != "gpu"}]), "gpu: field required"),
    ],
)
def test_an_unusable_file_is_refused(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "rates.json"
    path.write_text(content)
    with pytest.raises(RatesError, match=r"rates\.json") as error:
        read_rates(path)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_of_several_gpus_needs_a_choice(tmp_path: Path) -> None:
    path = rates_file(tmp_path, ROW, ROW | {"gpu": A100, "tflops": 50.0})
    with pytest.raises(RatesError, match="choose one with --gpu"):
        choose_rates(NOTHING, on_gpus=True, file=path)
    assert choose_rates(NOTHING, on_gpus=True, file=path, gpu="a100").of(TAM8).tflops == pytest.approx(50.0)
    with pytest.raises(RatesError, match="no rates of l4"):
        choose_rates(NOTHING, on_gpus=True, file=path, gpu="l4")
    with pytest.raises(RatesError, match="cannot be read"):
        read_rates(tmp_path / "none.json")


def test_a_gpu_means_nothing_to_cells_that_hold_none() -> None:
    with pytest.raises(UnknownGpuError, match="hold no GPU"):
        choose_rates(NOTHING, on_gpus=False, gpu="a100")


@pytest.mark.parametrize(
    ("text", "price"),
    [("2.5/gpu-hour", 2.5), ("2.5", 2.5), (" 3 / GPU-hour ", 3.0), (".5/h", 0.5), ("0", 0.0)],
)
def test_prices(text: str, price: float) -> None:
    assert parse_price(text) == price


@pytest.mark.parametrize("text", ["", "cheap", "-1", "2,5", "2.5/week", "nan", "inf", "2.5 2.5"])
def test_what_is_no_price(text: str) -> None:
    with pytest.raises(PriceError, match=r"write 2\.5 or 2\.5/gpu-hour"):
        parse_price(text)
