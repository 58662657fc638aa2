"""Processes for mutants: forked from one that has the libraries loaded, each in its own copy of the tree."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

PRODUCT = ("catalog", "dashboards", "orchestrator", "trainables")
COPIED = (
    *PRODUCT,
    "tests",
    "benchmarks",
    "docs",
    "clusters",
    "pyproject.toml",
    "cluster.yaml",
    "README.md",
    "Makefile",
)
LIBRARIES = (
    "PIL.Image",
    "_pytest.assertion.rewrite",
    "av",
    "dash",
    "duckdb",
    "hypothesis.extra.numpy",
    "hypothesis.strategies",
    "numpy",
    "pandas",
    "plotly.express",
    "plotly.graph_objects",
    "psutil",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "pydantic",
    "pytest",
    "ray.train.torch",
    "ray.tune",
    "rich.console",
    "scipy.stats",
    "simplejpeg",
    "statsmodels.api",
    "torch.optim.sgd",
    "torch.utils.checkpoint",
    "torchvision",
    "typer.testing",
    "yaml",
)


def load_libraries() -> None:
    """Once, before the forks; nothing of this project. One thread, so that none is missing after a fork."""
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


@dataclass
class Tree:
    """A copy of the repository in which one fault at a time is tried."""

    root: Path
    _changed: dict[Path, tuple[bytes, os.stat_result]] = field(default_factory=dict)

    @classmethod
    def copied(cls, repository: Path, parent: Path) -> Tree:
        """A new copy below `parent`, with what lies beside the repository beside it."""
        root = parent / "tree"
        ignored = shutil.ignore_patterns(".*", "screenshots")
        for name in COPIED:
            source = repository / name
            if source.is_dir():
                shutil.copytree(source, root / name, ignore=ignored)
            elif source.exists():
                root.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, root / name)
        shared = repository.parent / "shared"
        if shared.is_dir():
            (parent / "shared").symlink_to(shared.resolve())
        return cls(root)

    def change(self, path: str, content: bytes) -> None:
        """Put other content into a file, until `restore`; bytecode of the old one is not taken for it."""
        file = self.root / path
        known = file.stat()
        self._changed[file] = file.read_bytes(), known
        file.write_bytes(content)
        os.utime(file, (known.st_mtime + 1000, known.st_mtime + 1000))

    def restore(self) -> None:
        """Undo all changes."""
        for file, (content, known) in self._changed.items():
            file.write_bytes(content)
            os.utime(file, ns=(known.st_atime_ns, known.st_mtime_ns))
        self._changed.clear()


@dataclass
class Child:
    """A forked process in a process group of its own."""

    pid: int
    log: Path
    deadline: float
    cpu_seconds: float = 0.0

    def ended(self) -> int | None:
        """Its exit code, -1 where its time was over, None while it runs; what it left running is stopped."""
        done, status, used = os.wait4(self.pid, os.WNOHANG)
        if not done and time.monotonic() < self.deadline:
            return None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.cpu_seconds = used.ru_utime + used.ru_stime
        RUNNING.discard(self.pid)
        if done:
            return abs(os.waitstatus_to_exitcode(status))
        os.waitpid(self.pid, 0)
        return -1


LONGEST_SECONDS = 3600.0
RUNNING: set[int] = set()
"""Process groups that this process has started and not seen the end of."""


def stop_all() -> None:
    """Stop what still runs."""
    for pid in RUNNING:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def forked(
    tree: Tree, log: Path, cpu_seconds: float, work: Callable[[], int], *, compiling: bool = False
) -> Child:
    """Run `work` in a forked process whose imports come from `tree`; what it prints goes to `log`.

    `cpu_seconds`: how much it may work, however busy the machine is; it may also not wait for ever.

    `compiling`: bytecode of what it imports is kept for the processes after it.
    """
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        RUNNING.add(pid)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        return Child(pid, log, time.monotonic() + LONGEST_SECONDS)
    code = 70
    try:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(cpu_seconds), math.ceil(cpu_seconds) + 1))
        _enter(tree, log)
        sys.dont_write_bytecode = not compiling
        code = work()
    except BaseException as error:
        print(repr(error), file=sys.stderr)
    finally:
        sys.stdout.flush()
        os._exit(code)


def _enter(tree: Tree, log: Path) -> None:
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    own = Path(__file__).resolve().parents[2]
    os.chdir(tree.root)
    os.environ |= {"PYTHONPATH": str(tree.root), "PYTHONDONTWRITEBYTECODE": "1"}
    sys.path[:] = [str(tree.root), *(one for one in sys.path if one and Path(one).resolve() != own)]
    for name in [one for one in sys.modules if one.split(".")[0] in (*PRODUCT, "tests")]:
        del sys.modules[name]
    importlib.invalidate_caches()
