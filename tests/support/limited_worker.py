"""A worker without Ray: trains the cell of a request file; may have so many bytes more than the model takes.

python -m tests.support.limited_worker REQUEST BYTES
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import torch

from catalog.storage.storage import open_storage
from orchestrator.ray_runtime.trial import TrialRequest, write_error_log
from trainables.recipe.cell_spec import CellSpec
from trainables.training.session import CellSession


def main(request: TrialRequest, more: int) -> None:
    torch.set_num_threads(1)
    spec = CellSpec.model_validate_json(request.spec)
    storage = open_storage(request.storage)
    try:
        session = CellSession.open(spec, rank=0, world=1, local_rank=0)
        lines = Path("/proc/self/status").read_text().splitlines()
        taken = next(int(line.split()[1]) for line in lines if line.startswith("VmData:")) * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (taken + more, taken + more))
        for epoch in range(session.first_epoch, spec.recipe.epochs + 1):
            session.train_epoch(epoch)
        session.finish()
    except Exception as error:
        write_error_log(storage, Path(request.log), error)
        raise


if __name__ == "__main__":
    main(TrialRequest(**json.loads(Path(sys.argv[1]).read_text())), int(sys.argv[2]))
