"""The vision transformer against torch's own encoder layers, its printed size, and its weights' file."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from orchestrator.planning.storage_plan import weights_problems, weights_to_download
from trainables.models import build_model
from trainables.models.macs import model_cost
from trainables.models.modules.vit import Block, VisionTransformer, positions
from trainables.models.pretrained import starting_weights
from trainables.models.video_model import VideoModel
from trainables.models.weights import MissingWeightsError, initialise_from


def built(backbone: str = "tiny", frames: int = 8) -> VideoModel:
    torch.manual_seed(0)
    return build_model(
        module="vit", backbone=backbone, temporal_pooling=False, frames=frames, num_classes=5
    ).eval()


def test_costs_are_the_printed_ones() -> None:
    """Tong et al. (2022), Table 5: ViT-B, 16 frames: 87 M parameters and 180 G."""
    cost = model_cost("vit", "vit_b", False, 16, 400)
    assert round(cost.params / 1e6) == 87
    assert round(cost.macs / 1e9) == 180


def as_torchs_own(block: Block, width: int, heads: int) -> nn.TransformerEncoderLayer:
    layer = nn.TransformerEncoderLayer(
        width, heads, 4 * width, 0.0, "gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
    )
    ours = block.state_dict()
    bias = torch.cat([ours["attn.q_bias"], torch.zeros(width), ours["attn.v_bias"]])
    layer.load_state_dict(
        {
            "self_attn.in_proj_weight": ours["attn.qkv.weight"],
            "self_attn.in_proj_bias": bias,
            "self_attn.out_proj.weight": ours["attn.proj.weight"],
            "self_attn.out_proj.bias": ours["attn.proj.bias"],
            "linear1.weight": ours["mlp.fc1.weight"],
            "linear1.bias": ours["mlp.fc1.bias"],
            "linear2.weight": ours["mlp.fc2.weight"],
            "linear2.bias": ours["mlp.fc2.bias"],
            **{name: ours[name] for name in ours if name.startswith("norm")},
        }
    )
    return layer.eval()


def test_blocks_are_torchs_encoder_layers() -> None:
    model = built()
    trunk = model.trunk
    assert isinstance(trunk, VisionTransformer)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.5)
    clip = torch.randn(2, 3, 8, 32, 32)
    with torch.no_grad():
        tokens = trunk.patch_embed(clip)
        tokens = tokens + positions(tokens.shape[1], 64)
        for block in trunk.blocks:
            assert isinstance(block, Block)
            tokens = as_torchs_own(block, 64, 4)(tokens)
        expected = model.fc(trunk.fc_norm(tokens.mean(dim=1)))
        torch.testing.assert_close(model(clip), expected, rtol=1e-4, atol=1e-5)


def test_positions_are_sines_and_cosines_of_the_tokens_number() -> None:
    found = positions(20, 64)
    for number, place in ((0, 0), (3, 10), (19, 63)):
        angle = number / 10_000 ** (2 * (place // 2) / 64)
        assert found[number, place].item() == pytest.approx((math.sin, math.cos)[place % 2](angle), abs=1e-6)


def test_the_order_of_frames_is_seen_and_longer_clips_start_from_the_same_tensors() -> None:
    short, long = built(), built(frames=16)
    long.load_state_dict(short.state_dict(), strict=True)
    clip = torch.randn(1, 3, 16, 32, 32)
    with torch.no_grad():
        assert not torch.allclose(long(clip), long(clip.flip(2)), atol=1e-5)


def test_weights_come_from_a_file_that_has_to_be_put_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    file = starting_weights("kinetics", "vit", "vit_b")
    assert file is not None and file.enum is None
    (problem,) = weights_problems([file], str(tmp_path)).values()
    assert file.name in problem and "put its author's file there" in problem
    assert weights_to_download([file], str(tmp_path)) == ()
    model, source = built("vit_b"), built("vit_b", frames=16)
    with pytest.raises(MissingWeightsError, match="videomae"):
        initialise_from("kinetics", model, ("vit", "vit_b"), str(tmp_path), "repeat")
    theirs: dict[str, Tensor] = {name: one + 1 for name, one in source.trunk.state_dict().items()}
    head = {"head.weight": torch.zeros(400, 768), "head.bias": torch.zeros(400)}
    torch.save({**theirs, **head}, tmp_path / file.name)
    fresh = initialise_from("kinetics", model, ("vit", "vit_b"), str(tmp_path), "repeat")
    assert fresh == ("fc.bias", "fc.weight")
    assert all(torch.equal(one, theirs[name]) for name, one in model.trunk.state_dict().items())
