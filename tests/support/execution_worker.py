"""One of two workers of a small step, of `test_execution_workers.py`: RANK FOLDER COMPILE RECOMPUTE."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist

from tests.support.toy import toy_spec
from tests.trainables.training.execution.test_execution import CPU, clips
from tests.trainables.training.execution.test_execution_compile import small
from trainables.recipe.switches import Switches
from trainables.training.execution.device import Compute, Normalisation
from trainables.training.optimiser import build_optimiser
from trainables.training.step import TrainingStep


def main(rank: int, folder: Path, compiler: str, recompute: bool) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    compute = Compute(CPU, bf16=False, switches=Switches(compile=compiler, checkpoint_activations=recompute))  # type: ignore[arg-type]
    spec = toy_spec(folder, folder)
    model = compute.place(small()).train()
    optimiser = build_optimiser(model, spec.recipe, compute.switches)
    step = TrainingStep.create(spec, model, optimiser, compute, Normalisation.of("tsn", "tiny"), world=2)
    pixels, labels = clips(8)
    for number in range(3):
        torch.manual_seed(number)
        step.learn([(pixels[rank::2], labels[rank::2])], 4)
    if rank == 0:
        torch.save(model.state_dict(), folder / "state.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4] == "True")
