"""Mask2Former and its siblings with FaPN and MSFaPN, stage by stage, against figures from the authors' code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from semask_cli.inference.views import normalise
from semask_cli.models.mask2former import MaskedQueryDecoder, mask_to_attention_mask
from semask_cli.models.mask_classification import MaskClassification, MaskClassifier
from semask_cli.models.transformer import mask_logits
from semask_cli.zoo import load_zoo
from tests.support.figures import figure, figures, published_network
from tests.support.mask_figures import assert_published, stages_and_prediction

ROWS = [name for name, spec in load_zoo().models.items() if spec.family not in ("fpn", "maskformer") and spec.miou]
NEAR = 5e-5  # to the threshold of masked attention: float32 noise of mask logits that spread over ten
CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=ROWS)
def network(request: pytest.FixtureRequest) -> tuple[str, MaskClassifier]:
    built = published_network(request.param)
    assert isinstance(built, MaskClassifier)
    return request.param, built


@pytest.mark.slow
@torch.inference_mode()
def test_every_stage_agrees_with_the_published_code(network: tuple[str, MaskClassifier]) -> None:
    """Up to bits on the threshold of masked attention, which rounding turns: with some turned back all agree."""
    row, built = network
    found = figures(f"network/{row}__*.npz")
    assert len(found) == 2
    for path in found:
        expected = figure(path)
        stages, prediction = stages_and_prediction(built, expected)
        possible = list(turned_predictions(built, stages, prediction))
        assert len(possible) < 16
        torch.testing.assert_close(possible[0].class_logits, prediction.class_logits)
        torch.testing.assert_close(possible[0].mask_logits, prediction.mask_logits)
        closest = min(possible, key=lambda p: expected.spread_error("pred_masks", p.mask_logits[None].numpy()))
        assert_published(expected, stages, closest, keys=12)


def turned_predictions(
    built: MaskClassifier,
    stages: dict[str, Tensor],
    prediction: MaskClassification,
    turned: tuple[tuple[int, int], ...] = (),
) -> Iterator[MaskClassification]:
    """What the decoder answers with `turned` bits, and with each further one that rounding could turn."""
    decoder = RecordingDecoder(built.sem_seg_head.predictor)
    maps = [stages[f"multi_scale_{i}"] for i in range(3)]
    (class_logits,), (mask_logits,) = decoder(maps, stages["mask_features"], turned=turned)
    yield replace(prediction, class_logits=class_logits, mask_logits=mask_logits)
    for bit in decoder.near_threshold(NEAR):  # of 100 queries x up to 420 pixels x 9 layers
        if turned == () or bit > turned[-1]:
            yield from turned_predictions(built, stages, prediction, (*turned, bit))


class RecordingDecoder:
    """Runs a decoder, keeps the mask logits that become attention masks, and can turn the sign of some."""

    def __init__(self, decoder: MaskedQueryDecoder) -> None:
        self.decoder = decoder
        self.layers = len(decoder.transformer_ffn_layers)
        self.logits: list[Tensor] = []

    def __call__(
        self, maps: list[Tensor], mask_features: Tensor, *, turned: tuple[tuple[int, int], ...] = ()
    ) -> tuple[Tensor, Tensor]:
        """`turned` holds (layer, flat index) pairs."""
        self.logits = []

        def predict_masks(x: Tensor, features: Tensor) -> Tensor:
            logits = MaskedQueryDecoder.predict_masks(self.decoder, x, features)
            for layer, index in turned:
                if layer == len(self.logits):
                    logits.view(-1)[index] *= -1
            self.logits.append(logits)
            return logits

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.decoder, "predict_masks", predict_masks)
            result: tuple[Tensor, Tensor] = self.decoder(maps, mask_features)
        return result

    def near_threshold(self, distance: float) -> list[tuple[int, int]]:
        """The (layer, flat index) pairs of mask logits closer to zero than this."""
        return [
            (layer, int(index))
            for layer, logits in enumerate(self.logits[: self.layers])
            for index in (logits.abs().flatten() < distance).nonzero()
        ]


@pytest.mark.slow
@torch.inference_mode()
def test_resizing_features_for_logits_turns_only_bits_on_the_threshold(network: tuple[str, MaskClassifier]) -> None:
    row, built = network
    pixels = normalise([figure(f"network/{row}__128x160__s1.npz").image], CPU)
    mask_features, maps = built.sem_seg_head.pixel_decoder(built.backbone(pixels)[0])
    decoder = built.sem_seg_head.predictor
    x = decoder.query_feat.weight[None]
    full = decoder.predict_masks(x, mask_features)
    for features in maps:
        size = features.shape[2:]
        ours = decoder.predict_masks(x, F.interpolate(mask_features, size, mode="bilinear"))
        published = F.interpolate(full, size, mode="bilinear")
        torch.testing.assert_close(ours, published, atol=3e-5, rtol=0)
        different = (ours >= 0) != (published.sigmoid() >= 0.5)
        assert (ours[different].abs() < 3e-5).all()
        assert different.float().mean() < 1e-3


def test_a_query_that_sees_nothing_sees_everything() -> None:
    logits = torch.tensor([[[[-1.0, -2.0]], [[-1.0, 0.0]]]])  # (1, 2 queries, 1, 2)
    assert mask_to_attention_mask(logits).tolist() == [[[[True, True], [False, True]]]]


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_masks_are_products_of_embeddings_and_pixels(images: int, memory_format: torch.memory_format) -> None:
    embeddings, features = torch.randn(images, 3, 8), torch.randn(images, 8, 5, 4).to(memory_format=memory_format)
    expected = torch.einsum("bqc,bchw->bqhw", embeddings, features)
    torch.testing.assert_close(mask_logits(embeddings, features), expected)
