"""The process that decodes files nobody has vouched for: `python -m trainables.data.ingest.probe_child`.

Reads one JSON object a line on stdin: {"path", "keep", "use_decord"} to judge a video and, with `keep`, to
store its pictures; {"path", "estimate"} to estimate its size. Writes `{}` once it is up, then for each
request strings (the decoder at work) while frames come, and one JSON object at the end.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

import av.error

from catalog.storage.atomic import StoreWriteError
from trainables.data.frames.frame_format import FrameFormat
from trainables.data.frames.spool import SpoolTarget, SpoolWriter, encoded
from trainables.data.ingest.decode import NoVideoStreamError, RgbConverter, open_pyav
from trainables.data.ingest.probe import Rejected, probe_file, to_json

_KEY_FRAMES = 8


def estimate_bytes(path: Path, frame_format: FrameFormat) -> int | None:
    """Bytes of all the video's JPEGs: its packets, counted, times the mean of its first key frames.

    Takes a fraction of decoding the video. None where it cannot be read.
    """
    sizes: list[int] = []
    packets = 0
    try:
        with open_pyav(str(path)) as (container, stream):
            stream.codec_context.skip_frame = "NONKEY"
            convert = RgbConverter()
            for packet in container.demux(stream):
                packets += packet.size > 0
                if len(sizes) < _KEY_FRAMES:
                    sizes += [len(encoded(convert(frame), frame_format)) for frame in packet.decode()]
    except (NoVideoStreamError, av.error.FFmpegError, OSError, ValueError):
        return None
    return packets * sum(sizes) // len(sizes) if sizes else None


def main() -> None:
    """Serve until stdin ends, which it does when the parent is gone."""
    # native libraries may print to descriptor 1: keep the pipe to the parent for this protocol alone
    with os.fdopen(os.dup(1), "w") as pipe:
        os.dup2(2, 1)

        def say(message: object) -> None:
            print(json.dumps(message), file=pipe, flush=True)

        say({})
        for request in _requests():
            say(_answer(request, say))


def _requests() -> Iterator[dict[str, Any]]:
    requests: SimpleQueue[dict[str, Any]] = SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            requests.put(json.loads(line))
        # at once, in the middle of a video too: nobody waits for it any more
        os._exit(0)

    Thread(target=listen, daemon=True).start()
    while True:
        yield requests.get()


def _answer(request: dict[str, Any], beat: Callable[[str], None]) -> dict[str, Any]:
    path = Path(request["path"])
    try:
        if "estimate" in request:
            return {"bytes": estimate_bytes(path, FrameFormat(**request["estimate"]))}
        return _judge(path, request["keep"], request["use_decord"], beat)
    except StoreWriteError as error:
        return {"storage": error.args}
    except Exception as error:
        # e.g. a pixel format that has no conversion to RGB: this file's trouble, not its neighbours'
        return {"probe": to_json(Rejected(f"unreadable: {type(error).__name__}: {error}")), "sizes": []}


def _judge(
    path: Path, keep: dict[str, Any] | None, use_decord: bool, beat: Callable[[str], None]
) -> dict[str, Any]:
    if keep is None:
        return {"probe": to_json(probe_file(path, beat, None, use_decord)), "sizes": []}
    spool = SpoolWriter(SpoolTarget.from_json(keep))
    probe = probe_file(path, beat, spool, use_decord)
    return {"probe": to_json(probe), "sizes": spool.finish()}


if __name__ == "__main__":
    main()
