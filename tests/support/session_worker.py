"""One of two workers of a small cell, of `test_two_workers.py`: RANK DATA FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist

from tests.support.toy import toy_spec
from trainables.training.session import CellSession


def main(rank: int, data: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    spec = toy_spec(data, folder / "run", epochs=1, workers=2, choose_on=0.25)
    session = CellSession.open(spec, rank, 2, 0)
    session.train_epoch(1)
    torch.save(session.model.state_dict(), folder / f"state-{rank}.pt")
    session.finish()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
