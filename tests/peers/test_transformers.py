"""Our vision transformer against transformers' VideoMAE: with its tensors ours gives its logits.

Nothing is downloaded: the network is built from its own configuration, with values drawn here. The eps of its
layer norms are 1e-12 and, in the last one, 1e-5; ours are the 1e-6 of the authors' code (Tong et al., 2022).
That makes 4e-6 of the logits.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from tests.support.peers import CLASSES, TOLERANCE, Renames, distance, drawn, ours, random_clips, renamed
from trainables.models.modules.vit import positions

videomae = pytest.importorskip(
    "transformers.models.videomae.modeling_videomae",
    reason="the package transformers is not installed, or lacks a package that it needs",
)
from transformers import VideoMAEConfig  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.long]

# It has no other of our networks: Vivit, TimeSformer and V-JEPA 2 are none of ours.
VIT: Renames = [
    (r"^classifier\.", "fc."),
    (r"^fc_norm\.", "trunk.fc_norm."),
    (r"^videomae\.embeddings\.patch_embeddings\.projection\.", "trunk.patch_embed.proj."),
    (r"^videomae\.encoder\.layer\.", "trunk.blocks."),
    (r"\.attention\.attention\.(query|value)\.bias$", lambda found: f".attn.{found[1][0]}_bias"),
    (r"\.attention\.attention\.", ".attn."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
]


def joined(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Queries, keys and values in one matrix, as the authors' files have them."""
    parts = ("query", "key", "value")
    found = {name: one for name, one in state.items() if name.split(".")[-2] not in parts}
    for name in state:
        if name.endswith(".query.weight"):
            block = name.removesuffix("query.weight")
            found[f"{block}qkv.weight"] = torch.cat([state[f"{block}{part}.weight"] for part in parts])
    return found


@pytest.mark.parametrize(("frames", "size"), [(16, 64), (8, 96)])
def test_vit_b(frames: int, size: int) -> None:
    torch.manual_seed(0)
    settings = VideoMAEConfig(image_size=size, num_frames=frames, num_labels=CLASSES)
    network = videomae.VideoMAEForVideoClassification(settings)
    clips = random_clips(frames, size)
    drawn(network, lambda: None)
    model = ours("vit", "vit_b", frames, joined(renamed(network.state_dict(), VIT)))
    with torch.no_grad():
        assert distance(model(clips), network(clips.transpose(1, 2)).logits) < TOLERANCE


def test_positions_at_full_length() -> None:
    """16 frames of 224 x 224: 1,568 tokens. Its angles have double precision, ours single."""
    theirs = videomae.get_sinusoid_encoding_table(1568, 768)[0]
    torch.testing.assert_close(positions(1568, 768), theirs, rtol=0, atol=2e-4)
