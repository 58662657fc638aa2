"""What building the frame store costs a video: CPU-seconds by step, and bytes, on one core.

    .venv/bin/python benchmarks/ingest.py [--shape kinetics|ssv2] [--videos N] [--json]

Shapes as in `benchmarks/loader.py`. Steps: `pyav` decodes all, sums up each picture and listens for
decoder errors; meanwhile `encode` reduces and encodes; `decord` decodes again and must give the same sums;
`rest` is the file's hash and the shard. `without_decord` is a build of PyAV's pass alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
from loader import SHAPES, Shape, scene

from catalog.storage.atomic import sha256_of
from trainables.data.frames.frame_format import FrameFormat
from trainables.data.frames.spool import SpoolWriter, encoded
from trainables.data.frames.write import DecodedVideo, ShardWriter, shard_writer
from trainables.data.ingest.decode import Picture, pictures
from trainables.data.ingest.probe import Probed, probe_file

FORMAT = FrameFormat()


def write_video(shape: Shape, path: Path, seed: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(shape.codec, rate=Fraction(shape.fps), options=shape.options)
        stream.width, stream.height, stream.pix_fmt = shape.width, shape.height, "yuv420p"
        for picture in scene(shape, seed):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def cpu_seconds(work: Callable[[], object]) -> float:
    """The least of three: what else runs on the machine can only add."""
    taken = []
    for _ in range(3):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def decoded(path: Path) -> list[Picture]:
    return [picture for picture in pictures(str(path), "pyav") if picture is not None]


def build_one(path: Path, writer: ShardWriter, use_decord: bool = True) -> None:
    """One video's ingest, as `trainables.data.ingest.batch` does it in two processes."""
    content, spool = sha256_of(path), SpoolWriter(writer.keep)
    probe = probe_file(path, sink=spool, use_decord=use_decord)
    assert isinstance(probe, Probed), probe
    assert (probe.decoder == "decord") == use_decord, "decord gave up: the figures would not be comparable"
    writer.add(DecodedVideo(content, probe.frames, probe.decoder, probe.width, probe.height), spool.finish())
    writer.flush()


def build_all(paths: list[Path], store: Path, use_decord: bool) -> None:
    """One shard a video: PyAV's and decord's verdicts give it two names."""
    shutil.rmtree(store, ignore_errors=True)
    with shard_writer(store, store.with_name("spool"), FORMAT) as writer:
        for path in paths:
            build_one(path, writer, use_decord)


def measure(name: str, count: int, folder: Path) -> dict[str, object]:
    shape = SHAPES[name]
    paths = [folder / f"{number}.{shape.suffix}" for number in range(count)]
    for number, path in enumerate(paths):
        write_video(shape, path, number)
    with shard_writer(folder / "warm", folder / "spool", FORMAT) as writer:
        build_one(paths[0], writer)  # decord is loaded, files are in memory
    pyav = cpu_seconds(lambda: [probe_file(path, use_decord=False) for path in paths])
    both = cpu_seconds(lambda: [probe_file(path) for path in paths])
    store = folder / "store"
    total = cpu_seconds(lambda: build_all(paths, store, use_decord=True))
    single = cpu_seconds(lambda: build_all(paths, store, use_decord=False))
    stored = sum(path.stat().st_size for path in store.iterdir())
    shown = [decoded(path) for path in paths[:1]]
    encode = count * cpu_seconds(lambda: [encoded(picture, FORMAT) for picture in shown[0]])
    steps = {
        "pyav": pyav,
        "decord": both - pyav,
        "encode": encode,
        "rest": total - both - encode,
        "total": total,
        "without_decord": single,
    }
    return {
        "shape": name,
        "videos": count,
        "cpu_seconds": {step: round(seconds / count, 3) for step, seconds in steps.items()},
        "source_bytes": sum(path.stat().st_size for path in paths) // count,
        "stored_bytes": stored // count,
    }


def measured(shapes: list[str], count: int) -> Iterator[dict[str, object]]:
    for name in shapes:
        with tempfile.TemporaryDirectory() as folder:
            yield measure(name, count, Path(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), action="append")
    parser.add_argument("--videos", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows = list(measured(options.shape or sorted(SHAPES), options.videos))
    if options.json:
        print(json.dumps({"rows": rows}))
        return
    for row in rows:
        print(f"{row['shape']}: {row['source_bytes']:,} bytes a video, {row['stored_bytes']:,} stored")
        for step, seconds in row["cpu_seconds"].items():  # type: ignore[attr-defined]
            print(f"  {step:14} {seconds:7.3f} CPU-s a video")


if __name__ == "__main__":
    main()
