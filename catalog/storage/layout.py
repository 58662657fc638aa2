"""Where everything lies in a storage: the names of all its files and folders."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

# In a run directory. A checkpoint is `epoch-0007.pt`, its record `.json`, what it predicted `.parquet`.
EPOCHS = "epoch-*"
RESULT_FILE = "result.json"
FENCE_FILE = "fence"
RUN_LOCK_FILE = "lock"
EVALUATIONS = "evaluations"

# In a dataset's directory.
MANIFEST_FILE = "manifest.parquet"
BUILD_LOG_FILE = "build.jsonl"
SOURCE_FILE = "source.parquet"
BUCKET_MARK = ".actiongrid-bucket.json"
SHARDS = "shards"

# Below the root; in a bucket also the beginning of the segments' names.
JOURNAL = "journal"
RUNS = "runs"
DATASETS = "datasets"
SNAPSHOTS = "snapshots"

_OTHER_AXES = re.compile(r"(@[^+#]*)\+[^#]*")


@dataclass(frozen=True)
class Layout:
    """The paths under the root of one storage. Names of cells are made safe for every file system."""

    root: Path

    @property
    def journals(self) -> Path:
        """The journals, one file a writer (`catalog.journal`)."""
        return self.root / JOURNAL

    def journal(self, writer: str) -> Path:
        """One writer's journal."""
        return self.journals / f"{writer}.jsonl"

    @property
    def snapshots(self) -> Path:
        """Immutable files of the catalog, numbered (`catalog.snapshots`)."""
        return self.root / SNAPSHOTS

    @property
    def snapshot_link(self) -> Path:
        """The symlink to the current snapshot, which readers open."""
        return self.root / "catalog.duckdb"

    @property
    def claims(self) -> Path:
        """Claims that people wrote to be judged on what is here, beside the paper's (docs/claims.md)."""
        return self.root / "claims.yaml"

    @property
    def runs(self) -> Path:
        """The run directories of all cells."""
        return self.root / RUNS

    def run_dir(self, cell: str, key: str) -> Path:
        """Checkpoints, history and result of one cell; the same for every attempt and every study.

        What a study's other axes add to a name (`+lr=0.01`) is left out: the key says more, and studies that
        vary other things have the same cell under other names.
        """
        plain = _OTHER_AXES.sub(r"\1", cell)
        return self.runs / f"{file_name(plain)}-{key[:12]}"

    @property
    def datasets(self) -> Path:
        """The directories of all datasets."""
        return self.root / DATASETS

    def dataset_dir(self, dataset: str, digest: str) -> Path:
        """Manifest (and generated videos) of a dataset; another declaration has another directory."""
        return self.datasets / f"{file_name(dataset)}-{digest[:8]}"

    def manifests(self, dataset: str | None = None) -> list[Path]:
        """The manifests that stand here, of all datasets or of those of one name, in their order."""
        folder = "*" if dataset is None else _any_declaration(dataset)
        return sorted(self.datasets.glob(f"{folder}/{MANIFEST_FILE}"))

    def build_logs(self, dataset: str) -> list[Path]:
        """How the datasets of one name were built, in the order of their paths."""
        return sorted(self.datasets.glob(f"{_any_declaration(dataset)}/{BUILD_LOG_FILE}"))

    @property
    def ray_dir(self) -> Path:
        """What Tune and Train write for themselves on a cluster; nothing is ever restored from it."""
        return self.root / "ray"

    @property
    def leases(self) -> Path:
        """Who trains which cell (`orchestrator.coordination.lease`)."""
        return self.root / "leases"

    @property
    def drivers(self) -> Path:
        """Who works on this storage (`orchestrator.coordination.drivers`)."""
        return self.root / "drivers"

    @property
    def packing(self) -> Path:
        """What was measured of cells side by side on one GPU, put here by people (`benchmarks.packing`)."""
        return self.root / "packing.json"

    @property
    def report(self) -> Path:
        """Where `actiongrid report` writes unless told otherwise."""
        return self.root / "report.html"

    def log(self, writer: str) -> Path:
        """Ray's own output during one submission."""
        return self.root / "logs" / f"{writer}.log"


def found_in(storage: Path, recorded: str) -> Path:
    """Where a storage has a file of a cell or a dataset that an event names by the path of its time.

    Storages are copied and moved, and a copy is never read as its original: what lies in a run directory is
    looked for below this storage alone, what lies in a dataset's first. A path in neither is taken as it is.
    """
    path = Path(recorded)
    if not path.is_absolute() and "://" not in recorded:
        return storage / path
    for folder in (RUNS, DATASETS):
        if folder in path.parts:
            last = len(path.parts) - 1 - path.parts[::-1].index(folder)
            here = storage.joinpath(*path.parts[last:])
            if folder == RUNS or here.exists() or not path.exists():
                return here
    return path


def command_on(storage: Path | str, *words: str) -> str:
    """A command on a storage, by its folder or address, that can be pasted anywhere on this machine."""
    return shlex.join(("actiongrid", *words, "--storage", _address(storage)))


def _address(storage: Path | str) -> str:
    """What a user calls a storage: of the local mirror of a bucket the bucket's address."""
    try:
        return str(json.loads((Path(storage) / BUCKET_MARK).read_bytes())["url"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return str(storage)


def dataset_command(directory: Path, verb: str) -> str:
    """`actiongrid data VERB` for the dataset in this directory; without a storage where it is in none."""
    return _on_storage_of(directory, "data", verb, directory.name.rpartition("-")[0])


def quarantined_command(directory: Path) -> str:
    """The command that lists all quarantined videos of the storage that this dataset's directory is in."""
    return _on_storage_of(directory, "data", "list", "--quarantined")


def _on_storage_of(directory: Path, *words: str) -> str:
    in_storage = directory.parent.name == DATASETS
    return command_on(directory.parent.parent, *words) if in_storage else f"actiongrid {' '.join(words)}"


def _any_declaration(dataset: str) -> str:
    return f"{file_name(dataset)}-{'?' * 8}"


def epoch_file(run_dir: Path, epoch: int, suffix: str) -> Path:
    """One of an epoch's files in a run directory: `.pt`, `.json` or `.parquet`."""
    return run_dir / f"epoch-{epoch:04d}{suffix}"


def epoch_files(run_dir: Path, suffix: str) -> list[Path]:
    """The files of all epochs that stand in a run directory, the oldest first; `.*` for all kinds."""
    return sorted(run_dir.glob(f"{EPOCHS}{suffix}"))


def attempt_log(run_dir: Path, attempt: int) -> Path:
    """The error of one attempt and its traceback."""
    return run_dir / f"attempt-{attempt}.log"


def file_name(text: str) -> str:
    """`text` with everything but letters, digits, `.`, `_` and `-` replaced, e.g. for `TAM-Tiny-f8@toy#1`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)


_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]|\\(?=x[0-9a-f]{2}|u[0-9a-f]{4})")
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})")
_BYTE = 0xDC00  # what `os.fsdecode` adds to a byte that is no UTF-8


def escaped(name: str) -> str:
    r"""A name as text in UTF-8 without control characters; `unescaped` gives the name again.

    On Linux a name is bytes. Those that are no UTF-8 reach Python as lone surrogates (`os.fsdecode`), which
    neither JSON's readers nor Parquet, DuckDB or a terminal take. They are written `\xNN`, as Python writes
    bytes, and so are control characters, which could break a line or a terminal. A backslash that would read
    as such an escape is written `\x5c`; all other names stay as they are.
    """
    return name if name.isprintable() and "\\" not in name else _UNSAFE.sub(_escape, name)


def unescaped(text: str) -> str:
    """The name that `escaped` was given."""
    return text if "\\" not in text else _ESCAPE.sub(_unescape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - _BYTE:02x}"
    # C1 controls are two bytes in UTF-8: their own form keeps them apart from the bytes themselves
    return f"\\u{code:04x}" if code > 0x7F else f"\\x{code:02x}"


def _unescape(found: re.Match[str]) -> str:
    if found[2] is not None:
        return chr(int(found[2], 16))
    code = int(found[1], 16)
    return chr(code + _BYTE) if code > 0x7F else chr(code)
