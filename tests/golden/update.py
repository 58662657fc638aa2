"""Record the golden values anew, after a version was raised: `python tests/golden/update.py`.

Refused where values moved although no version of theirs was raised: results computed before would be taken
for those of today's code. On another torch or kind of machine only new and outdated cases are recorded, each
with its platform; `--platform` records all of them for it.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.golden.compare import FILE, blame, load, merged, record_here, save, unraised


def main() -> int:
    found = record_here()
    if FILE.exists():
        golden = load()
        wrong = unraised(golden, found)
        elsewhere = golden["platform"] != found["platform"]
        if wrong:
            print(f"error: {blame(found, wrong)}", file=sys.stderr)
            return 1
        if elsewhere and "--platform" not in sys.argv:
            found = merged(golden, found)
    save(found)
    print(f"{len(found['cases'])} cases recorded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
