"""Record the golden values anew, after a version was raised: `python tests/golden/update.py`.

Refused where values moved although no version of theirs was raised: results computed before would be taken
for those of today's code. `--platform` records them for another torch or kind of machine.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.golden.compare import FILE, blame, load, record_here, save, unraised


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
            print(f"error: recorded on {golden['platform']}; here is {found['platform']}; say --platform")
            return 1
    save(found)
    print(f"{len(found['cases'])} cases recorded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
