"""Every implementation of window attention equals the published one."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from semask_cli.models import window_attention, windows
from semask_cli.models.window_attention import WindowAttention
from semask_cli.ops import window_attention as operator
from semask_cli.ops.window_attention import REGION_MASK


def published(layer: WindowAttention, x: torch.Tensor) -> torch.Tensor:
    """Swin's own order: pad, roll, cut, attend under position bias and region mask, put back, roll back, crop."""
    _, h, w, c = x.shape
    n, shift, heads = layer.window, layer.shift, layer.heads
    rows, columns = -(-h // n), -(-w // n)
    padded = torch.nn.functional.pad(x, (0, 0, 0, columns * n - w, 0, rows * n - h))
    regions = torch.zeros(rows * n, columns * n)
    if shift:
        bounds = [slice(0, -n), slice(-n, -shift), slice(-shift, None)]
        for i, ys in enumerate(bounds):
            for j, xs in enumerate(bounds):
                regions[ys, xs] = 3 * i + j

    def cut(t: torch.Tensor) -> torch.Tensor:  # (rows * n, columns * n, ...) -> (rows * columns, n * n, ...)
        return t.unflatten(1, (columns, n)).unflatten(0, (rows, n)).transpose(1, 2).flatten(2, 3).flatten(0, 1)

    region = cut(regions)
    mask = REGION_MASK * (region[:, None] != region[:, :, None])
    table = layer.relative_position_bias_table[layer.relative_position_index]  # (N, N, heads)
    out = []
    for image in padded.roll((-shift, -shift), (1, 2)):
        q, k, v = layer.qkv(cut(image)).unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        scores = q * (c // heads) ** -0.5 @ k.mT + table.permute(2, 0, 1) + mask[:, None]
        joined = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)  # (windows, N, C)
        joined = joined.view(rows, columns, n, n, c).transpose(1, 2).reshape(rows * n, columns * n, c)
        out.append(joined.roll((shift, shift), (0, 1))[:h, :w])
    return layer.proj(torch.stack(out))


@pytest.mark.parametrize("by_products", [True, False])
@pytest.mark.parametrize("scores_per_batch", [1, 2000, windows.SCORES_PER_BATCH])
@pytest.mark.parametrize(("size", "shift"), [((8, 12), 0), ((8, 12), 2), ((7, 9), 2), ((13, 5), 2), ((3, 3), 0)])
@torch.no_grad()
def test_it_is_the_published_attention(
    size: tuple[int, int], shift: int, scores_per_batch: int, by_products: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_attention, "small_products_are_slow", lambda: by_products)
    monkeypatch.setattr(windows, "SCORES_PER_BATCH", scores_per_batch)
    torch.manual_seed(0)
    layer = WindowAttention(12, window=4, shift=shift, heads=3)
    torch.nn.init.normal_(layer.relative_position_bias_table)
    x = torch.randn(2, *size, 12)
    torch.testing.assert_close(layer(x), published(layer, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("how", ["loaded", "assigned", "data"])
@torch.no_grad()
def test_other_position_biases_count_at_once(how: str) -> None:
    torch.manual_seed(0)
    first, second = (WindowAttention(12, window=4, shift=2, heads=3) for _ in range(2))
    torch.nn.init.normal_(second.relative_position_bias_table)
    x = torch.randn(1, 7, 9, 12)
    first(x)  # keeps what it makes of its table
    if how == "data":
        first.load_state_dict({**second.state_dict(), "relative_position_bias_table": torch.zeros(49, 3)})
        first(x)
        first.relative_position_bias_table.data = second.relative_position_bias_table.clone()
    else:
        state = {name: tensor.clone() for name, tensor in second.state_dict().items()}
        first.load_state_dict(state, assign=how == "assigned")
    torch.testing.assert_close(first(x), second(x), rtol=0, atol=0)


@torch.inference_mode()
def test_both_formulations_agree_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer = WindowAttention(64, window=4, shift=2, heads=2).bfloat16()
    x = torch.randn(1, 9, 10, 64).bfloat16()
    found = []
    for by_products in (True, False):
        monkeypatch.setattr(window_attention, "small_products_are_slow", lambda answer=by_products: answer)
        found.append(layer(x))
    torch.testing.assert_close(*found, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(("size", "shift"), [((9, 15), 0), ((9, 15), 3)])
@torch.inference_mode()
def test_the_kernel_computes_the_same(
    size: tuple[int, int], shift: int, on_host: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    layer = WindowAttention(64, window=7, shift=shift, heads=2).half()
    torch.nn.init.normal_(layer.relative_position_bias_table)
    torch.nn.init.normal_(layer.qkv.bias)
    x = torch.randn(1, *size, 64).half()
    expected = layer(x)
    monkeypatch.setattr(operator, "has_kernel", lambda *_, **__: True)
    monkeypatch.setattr(window_attention, "has_kernel", lambda *_, **__: True)
    monkeypatch.setattr(window_attention, "window_attention", operator.cuda_window_attention)
    torch.testing.assert_close(layer(x), expected, rtol=5e-3, atol=5e-3)


def test_the_biases_of_a_fake_network_have_shapes_and_no_warning() -> None:
    with FakeTensorMode(), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        layer = WindowAttention(8, window=4, shift=2, heads=2)
        assert layer.table().shape == (2, 49)
        assert layer.biases(torch.float32)[0].shape == (2, 16, 16)
