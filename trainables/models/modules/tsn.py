"""TSN (Wang et al., 2016): the 2D backbone alone; frames meet only in the mean of their logits."""

from __future__ import annotations

from trainables.models.planar import PlanarModule


class TSN(PlanarModule):
    """No temporal layer besides optional temporal pooling (docs/protocol.md §3)."""
