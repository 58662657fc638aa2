"""A trunk with the classification head that all architectures share (docs/protocol.md §1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class VideoModel(nn.Module):
    """Clip in, logits out: trunk, average over H and W, dropout, fc, then the mean over the frames left.

    Attributes:
        frames: Clip length T that the model was built for.
        volumetric: True for 3D modules; decides the layout inside and `memory_format`.
        fresh_parts: Parts of parameter names that no ImageNet weights exist for.
    """

    def __init__(
        self,
        trunk: nn.Module,
        *,
        channels: int,
        num_classes: int,
        frames: int,
        frames_left: int,
        volumetric: bool,
        dropout: float,
        fresh_parts: tuple[str, ...],
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)
        self.frames = frames
        self.volumetric = volumetric
        self.fresh_parts = fresh_parts
        self._frames_left = frames_left
        if volumetric:
            nn.init.normal_(self.fc.weight, 0.0, 0.001)
            nn.init.zeros_(self.fc.bias)

    @property
    def memory_format(self) -> torch.memory_format:
        """The channels-last format of this model's weights, for `model.to(memory_format=…)`."""
        return torch.channels_last_3d if self.volumetric else torch.channels_last

    def features(self, clip: Tensor) -> Tensor:
        """Per-frame features (N, T', D) of a clip (N, 3, T, H, W)."""
        if self.volumetric:
            volume: Tensor = self.trunk(clip)
            return volume.mean(dim=(3, 4)).transpose(1, 2)
        images: Tensor = self.trunk(clip.transpose(1, 2).flatten(0, 1))
        vectors = images.mean(dim=(2, 3))
        return vectors.view(-1, self._frames_left, vectors.shape[1])

    def forward(self, clip: Tensor) -> Tensor:
        """Logits (N, K), no softmax, of a normalised float clip (N, 3, T, H, W).

        Raises:
            ValueError: The clip has another shape, or another length than the model was built for.
        """
        if clip.dim() != 5 or clip.shape[1] != 3 or clip.shape[2] != self.frames:
            raise ValueError(
                f"wrong clip shape {tuple(clip.shape)}; this model takes (N, 3, {self.frames}, H, W)"
            )
        logits: Tensor = self.fc(self.dropout(self.features(clip)))
        return logits.mean(dim=1)
