"""What small cells gain side by side on one GPU, against one after the other: plain, and under MPS.

    python -m benchmarks.packing [--model TSN-ResNet18 …] [--frames 8] [--together 1 2 3 4] [--json]

Each cell is a process of its own that trains from the frame store with `--threads` loader threads, as the
scheduler would place it. All of them start together and run for `--seconds`; `clips_per_s` is their sum, and
`gain` that sum over what one alone reaches. Rows: {gpu, model, frames, side_by_side, mps, clips_per_s, gain}.
With them `actiongrid plan|run --packing FILE` (or a storage's `packing.json`) decides how many cells share a
GPU.

MPS is measured where `nvidia-cuda-mps-control` can be started: with a pipe directory of its own, so that a
server of others is neither used nor stopped. What cannot be measured is said on stderr.

Runs on a CPU too (`--device cpu --shape tiny --crop 32 --model TSN-Tiny`), where cells share cores and MPS is
left out: gains of a GPU need one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from benchmarks.training_cell import ALL_SHAPES, Cell, Clock, Setting, make_store, show, use_device

PIPE, LOG = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
CONTROL = "nvidia-cuda-mps-control"
WARM_UP = 5  # steps
AHEAD = 2  # steps that a cell gives to the device before it waits for the first of them
START_IN = 0.5  # seconds from the last cell's being ready


class NotMeasuredError(RuntimeError):
    """Cells that did not run to the end."""


@dataclass(frozen=True)
class Work:
    """What one process is asked to do."""

    setting: Setting
    manifest: str
    run_dir: str
    seconds: float
    device: str


def main() -> None:
    """Measure and print a table or JSON rows; or, as a child, train one cell."""
    options = _options()
    if options.child:
        train_one(_work(options.child))
        return
    with tempfile.TemporaryDirectory() as folder:
        manifest = make_store(options.shape, Path(folder))
        rows = list(measure(options, manifest, Path(folder)))
    show(rows, as_json=options.json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["TSN-ResNet18", "TAM-ResNet18", "S3D-ResNet18"])
    parser.add_argument("--frames", nargs="+", type=int, default=[8])
    parser.add_argument("--batch", type=int, default=72)
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--together", nargs="+", type=int, default=[1, 2, 3, 4])
    parser.add_argument("--threads", type=int, default=4, help="of each cell's loader")
    parser.add_argument("--shape", choices=sorted(ALL_SHAPES), default="kinetics")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def _work(text: str) -> Work:
    values = json.loads(text)
    return Work(**values | {"setting": Setting(**values["setting"])})


def measure(options: argparse.Namespace, manifest: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of all models: first plain, then under MPS."""
    with ExitStack() as servers:
        ways = [(False, os.environ | {PIPE: str(_empty(folder / "no-mps"))})]
        if options.device != "cpu":
            try:
                ways.append((True, servers.enter_context(mps_server())))
            except NotMeasuredError as error:
                print(f"MPS is not measured: {error}", file=sys.stderr)
        for model in options.model:
            for frames in options.frames:
                setting = Setting(model, frames, options.batch, options.crop, options.threads)
                yield from measure_model(options, setting, manifest, folder, ways)


Ways = list[tuple[bool, Mapping[str, str]]]


def measure_model(
    options: argparse.Namespace, setting: Setting, manifest: Path, folder: Path, ways: Ways
) -> Iterator[dict[str, Any]]:
    """One alone, then so many together in each way; each a row."""
    alone: float | None = None
    for mps, environment in ways:
        for together in sorted({1, *options.together}):
            if together == 1 and alone is not None:
                continue
            works = [
                Work(setting, str(manifest), str(folder / f"run-{number}"), options.seconds, options.device)
                for number in range(together)
            ]
            try:
                device, rate = side_by_side(works, environment)
            except NotMeasuredError as error:
                where = f"{setting.model} f{setting.frames}, {together} together{' under MPS' * mps}"
                print(f"not measured: {where}: {error}", file=sys.stderr)
                if alone is None:
                    return  # nothing to compare with
                continue
            alone = alone or rate
            yield {
                "gpu": device,
                "model": setting.model,
                "frames": setting.frames,
                "batch": setting.batch,
                "side_by_side": together,
                "mps": mps,
                "clips_per_s": round(rate, 2),
                "gain": round(rate / alone, 4),
            }


def side_by_side(works: list[Work], environment: Mapping[str, str]) -> tuple[str, float]:
    """Run cells together; their device, and their clips per second in all.

    Raises:
        NotMeasuredError: one of them failed; the others are ended.
    """
    with ExitStack() as running:
        children = [running.enter_context(child_of(work, environment)) for work in works]
        for child in children:
            child.wait_ready()
        start = time.monotonic() + START_IN
        for child in children:
            child.say(f"{start}\n")
        done = [child.result(START_IN + 10 * works[0].seconds + 60) for child in children]
    return done[0]["device"], sum(one["clips"] / one["seconds"] for one in done)


@dataclass(frozen=True)
class Child:
    """One process, and where its stderr goes: the last line of it is told in NotMeasuredError."""

    process: subprocess.Popen[str]
    errors: IO[str]

    def wait_ready(self) -> None:
        """Until it has warmed up."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            if line.strip() == "ready":
                return
        raise self._failure()

    def say(self, text: str) -> None:
        """Give it a line."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(text)
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None

    def result(self, timeout: float) -> dict[str, Any]:
        """What it says at its end."""
        try:
            out, _ = self.process.communicate(timeout=timeout)
            found: dict[str, Any] = json.loads(out.splitlines()[-1])
        except (subprocess.TimeoutExpired, ValueError, IndexError):
            raise self._failure() from None
        return found

    def _failure(self) -> NotMeasuredError:
        self.process.kill()
        code = self.process.wait()
        self.errors.seek(0)
        said = self.errors.read().strip().splitlines()
        return NotMeasuredError(said[-1] if said else f"a cell ended with {code}")


@contextmanager
def child_of(work: Work, environment: Mapping[str, str]) -> Iterator[Child]:
    """A process that is gone afterwards, whatever happens."""
    command = [sys.executable, "-m", "benchmarks.packing", "--child", json.dumps(asdict(work))]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=dict(environment),
            cwd=Path(__file__).parents[1],
        ) as process,
    ):
        try:
            yield Child(process, errors)
        finally:
            process.kill()


def train_one(work: Work) -> None:
    """The child: warm up, say so, start when told, train for a while, say how many clips that were."""
    use_device(work.device)
    cell = Cell.open(work.setting, Path(work.manifest), Path(work.run_dir))
    with cell.session.compute.backends():
        found = _trained(cell, work.seconds)
    print(json.dumps({"device": cell.device_name, **found}), flush=True)


def _trained(cell: Cell, wanted: float) -> dict[str, float]:
    from trainables.training.execution.upload import uploaded

    step, device = cell.session.step, cell.session.compute.device
    step.network.train()
    batches = uploaded(cell.source.batches(cell.setting.threads), device)
    for _ in range(WARM_UP):
        step.run(next(batches))
    clock = Clock(device)
    clock.wait()
    print("ready", flush=True)
    start = float(sys.stdin.readline())
    time.sleep(max(0.0, start - time.monotonic()))
    clips = 0
    while clips == 0 or time.monotonic() - start < wanted:
        batch = next(batches)
        step.run(batch)
        clips += len(batch.labels)
        clock.at_most_ahead(AHEAD)
    clock.wait()
    seconds = time.monotonic() - start
    batches.close()
    return {"clips": clips, "seconds": seconds}


@contextmanager
def mps_server() -> Iterator[Mapping[str, str]]:
    """A server of our own while this lasts; the environment in which CUDA programs find it.

    Raises:
        NotMeasuredError: there is none, or it cannot be started here.
    """
    program = shutil.which(CONTROL)
    if program is None:
        raise NotMeasuredError(f"no {CONTROL} on the path")
    with tempfile.TemporaryDirectory(prefix="mps-") as folder:
        own = {PIPE: str(_empty(Path(folder) / "pipe")), LOG: str(_empty(Path(folder) / "log"))}
        environment = os.environ | own
        started = subprocess.run(
            [program, "-d"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if started.returncode != 0:
            raise NotMeasuredError(f"{CONTROL} -d: {(started.stderr or started.stdout).strip()}")
        try:
            yield environment
        finally:
            # Of the daemon with our pipe directory, and of no other.
            subprocess.run(
                [program], input="quit\n", env=environment, capture_output=True, text=True, check=False
            )


def _empty(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    main()
