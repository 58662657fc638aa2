"""I3D (Carreira and Zisserman, 2017): every spatial kernel inflated into time."""

from __future__ import annotations

from torch import nn

from trainables.models.volumetric import VolumetricModule


class I3D(VolumetricModule):
    """k x k becomes k x k x k, 1x1 stays pointwise (docs/protocol.md §4)."""

    def stem(self, cin: int, cout: int, kernel: int, stride: int) -> nn.Module:
        """(7,7,7) for Inception, (3,7,7) for ResNets."""
        if not self.style.cubic_stem:
            return super().stem(cin, cout, kernel, stride)
        return self.conv(cin, cout, kernel, stride=stride)

    def trunk_pool(self, kernel: int, halving: int | None) -> nn.Module:
        """Padded 3-wide pools everywhere: I3D's last pool keeps T where S3D's 2-wide one loses a frame."""
        return super().trunk_pool(3, halving)
