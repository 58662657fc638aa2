"""Versions of the code that turns a recipe into weights; part of every cell's key.

Raise one when a change makes the same configuration give different weights (`STEP`: the training step, the
schedule and the order of clips; `INITIALISE`: what a starter's weights are before the first step;
`TEMPORAL_POOLING`: the models with it; `HOLD_OUT`: which videos `choose_on` holds out) or different measured
accuracies (`EVALUATE`). `tests/golden` fails where behaviour moves and the version does not.
"""

from __future__ import annotations

STEP = "1"
EVALUATE = "1"
INITIALISE = "1"
TEMPORAL_POOLING = "1"
HOLD_OUT = "1"
