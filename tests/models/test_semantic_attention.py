"""Every implementation of semantic attention equals the published one."""

from __future__ import annotations

import pytest
import torch

from semask_cli.models import semantic_attention as module
from semask_cli.models import windows
from semask_cli.models.semantic_attention import MAX_CHANNELS_PER_CLASS, SemanticAttention, semantic_attention
from semask_cli.models.windows import cut_windows, join_windows


@pytest.mark.parametrize("batch", [1, 500, 1 << 20])
@pytest.mark.parametrize("global_", [True, False])
@torch.no_grad()
def test_it_is_the_published_semantic_attention(global_: bool, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "SCORES_PER_BATCH", batch)
    monkeypatch.setattr(module, "QUERIES_PER_BATCH", batch)
    torch.manual_seed(0)
    layer = SemanticAttention(12, classes=5, window=4, global_=global_)
    layer.gamma.fill_(0.7)
    y = torch.randn(2, 6, 9, 12)
    cut = y.flatten(1, 2)[:, None] if global_ else cut_windows(y, window=4).flatten(1, 2)  # (B, windows, N, C)
    q, k, v = (part(cut) for part in (layer.mlp_cls_q, layer.mlp_cls_k, layer.mlp_v))
    attended = (q @ k.mT).softmax(-1) @ v
    joined = attended.view_as(y) if global_ else join_windows(attended.unflatten(1, (2, 3)), 6, 9)
    torch.testing.assert_close(layer(y)[0], 0.7 * layer.mlp_res(joined) + y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("channels", [3, 16, 6 * MAX_CHANNELS_PER_CLASS])
@torch.inference_mode()
def test_semantic_scores_are_float32_in_bf16(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores of a few hundred, between which bfloat16 has steps of two."""
    monkeypatch.setattr(module, "small_products_are_slow", lambda: False)
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 40, width).bfloat16() for width in (5, 5, channels))
    q, k = 8 * q, 8 * k
    expected = (q.double() @ k.double().mT).softmax(-1) @ v.double()
    torch.testing.assert_close(semantic_attention(q, k, v).double(), expected, rtol=1e-2, atol=1e-2)
