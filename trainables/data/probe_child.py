"""The process that decodes files nobody has vouched for: `python -m trainables.data.probe_child`.

Reads one JSON string (a path) a line on stdin; writes `{}` once it is up, then for each path
`"beat"` while frames come and one JSON object at the end.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from trainables.data.probe import Probe, Rejected, probe_file, to_json


def main() -> None:
    """Serve until stdin ends, which it does when the parent is gone."""
    # native libraries may print to descriptor 1: keep the pipe to the parent for this protocol alone
    with os.fdopen(os.dup(1), "w") as pipe:
        os.dup2(2, 1)

        def say(message: object) -> None:
            print(json.dumps(message), file=pipe, flush=True)

        say({})
        for line in sys.stdin:
            say(to_json(_probe(Path(json.loads(line)), lambda: say("beat"))))


def _probe(path: Path, beat: Callable[[], None]) -> Probe:
    try:
        return probe_file(path, beat)
    except Exception as error:
        # e.g. a pixel format that has no conversion to RGB: this file's trouble, not its neighbours'
        return Rejected(f"unreadable: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
