"""I3D with the temporal strides that Carreira and Zisserman (2017) gave it (paper Figure 7, first bar)."""

from __future__ import annotations

from torch import nn

from trainables.models.modules.i3d import I3D


class OriginalI3D(I3D):
    """Halves the clip in its stem and in the last two pools; the first two pools are purely spatial.

    It exists with temporal pooling only: without its strides it is I3D.
    """

    def frames_at(self, level: int) -> int:
        """Half of the clip from the stem on, a quarter at level 2, an eighth at level 3."""
        halvings: int = max(level, 1)
        return self.settings.frames >> halvings

    def stem(self, cin: int, cout: int, kernel: int, stride: int) -> nn.Module:
        """(7,7,7), stride 2 in time, too."""
        return self.conv(cin, cout, kernel, stride=stride, time_stride=2)

    def trunk_pool(self, kernel: int, halving: int | None) -> nn.Module:
        """(1,3,3) twice, then (3,3,3), then (2,2,2)."""
        if halving == 0:
            return super().trunk_pool(3, None)
        if halving == 2:
            pool = nn.MaxPool3d if self.settings.pooling_method == "max" else nn.AvgPool3d
            return pool(2, stride=2)
        return super().trunk_pool(3, halving)
