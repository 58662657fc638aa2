"""Versions of the code that turns a recipe into weights; part of every cell's key.

Raise one when a change makes the same configuration give different weights (`STEP`), different measured
accuracies (`EVALUATE`) or checkpoints that older code cannot read (`CHECKPOINT`).
"""

from __future__ import annotations

STEP = "1"
EVALUATE = "1"
CHECKPOINT = "1"
