"""The five mask-classification rows against figures from the authors' code: names, shapes, features, logits, scores.

Float32 noise is 4e-6 of a figure's spread, and 4e-5 of the spread of centred scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semask_cli.inference.views import normalise
from semask_cli.models.build import build_model
from semask_cli.models.mask2former import MaskedQueryDecoder, mask_to_attention_mask
from semask_cli.models.mask_classification import MaskClassification, MaskClassifier
from semask_cli.models.prediction import Prediction
from semask_cli.zoo import load_zoo
from tests.support.figures import Figure, figure, figures, manifest, published_state

ROWS = [name for name, spec in load_zoo().models.items() if spec.family != "fpn" and spec.miou]  # published ones
MASKED = [name for name in ROWS if load_zoo().find(name).family != "maskformer"]  # with masked attention
CPU = torch.device("cpu")
TOLERANCES = {"sem_seg": 1e-4, "sem_seg_centred": 1e-4}  # the others: 1e-5
NEAR = 5e-5  # to the threshold: float32 noise of mask logits that spread over ten
UNUSED = "criterion.empty_weight"  # of the training loss


@pytest.fixture(scope="module", params=ROWS)
def network(request: pytest.FixtureRequest) -> tuple[str, MaskClassifier]:
    built = build_model(load_zoo().find(request.param))
    assert isinstance(built, MaskClassifier)
    state = {name: tensor for name, tensor in published_state(request.param).items() if name != UNUSED}
    indices = {n: b for n, b in built.named_buffers() if n.endswith("relative_position_index")}
    built.load_state_dict({**state, **indices}, strict=True)
    return request.param, built


def class_map(prediction: Prediction) -> Tensor:
    """All of it: (classes, height, width)."""
    height, width = prediction.size
    return prediction.class_map(range(height), range(width)).maps


def run(built: MaskClassifier, expected: Figure) -> tuple[dict[str, Tensor], MaskClassification]:
    """The stages before the query decoder under the names of a figure file, and the Prediction."""
    seen: dict[str, Tensor] = {}

    def decoded(_: nn.Module, features: tuple[list[Tensor]], result: tuple[Tensor, list[Tensor]]) -> None:
        seen.update({f"res{i}": feature for i, feature in enumerate(features[0], start=2)})
        seen.update({f"multi_scale_{i}": feature for i, feature in enumerate(result[1])})
        seen["mask_features"] = result[0]

    hook = built.sem_seg_head.pixel_decoder.register_forward_hook(decoded)
    (prediction,) = built.predict(normalise([expected.image], CPU))
    hook.remove()
    assert isinstance(prediction, MaskClassification)
    return seen, prediction


def answers(prediction: MaskClassification, expected: Figure) -> dict[str, Tensor]:
    """What the query decoder leads to, under the names of a figure file."""
    centred = replace(prediction, class_logits=prediction.class_logits + torch.from_numpy(expected["class_bias_delta"]))
    return {
        "pred_logits": prediction.class_logits[None],
        "pred_masks": prediction.mask_logits[None],
        "sem_seg": class_map(prediction),
        "sem_seg_centred": class_map(centred),
    }


def test_there_are_five_rows() -> None:
    assert len(ROWS) == 5


def test_names_shapes_and_parameters_are_the_published_ones(network: tuple[str, MaskClassifier]) -> None:
    row, built = network
    published = manifest(row)
    del published["tensors"][UNUSED]
    assert {name: list(tensor.shape) for name, tensor in built.state_dict().items()} == published["tensors"]
    assert sum(p.numel() for p in built.parameters()) == published["params"]
    for one, other in published["shared"]:
        assert built.get_parameter(one) is built.get_parameter(other)


@torch.inference_mode()
def test_every_stage_agrees_with_the_published_code(network: tuple[str, MaskClassifier]) -> None:
    """Up to bits on the threshold of masked attention, which rounding turns: with some turned back all agree."""
    row, built = network
    found = figures(f"network/{row}__*.npz")
    assert len(found) == 2
    for path in found:
        expected = figure(path)
        stages, prediction = run(built, expected)
        possible = list(turned_predictions(built, stages, prediction)) if row in MASKED else [prediction]
        assert len(possible) < 16
        torch.testing.assert_close(possible[0].class_logits, prediction.class_logits)
        torch.testing.assert_close(possible[0].mask_logits, prediction.mask_logits)
        closest = min(possible, key=lambda p: expected.spread_error("pred_masks", p.mask_logits[None].numpy()))
        ours = {**stages, **answers(closest, expected)}
        compared = [key for key in expected.arrays if key in ours]
        assert len(compared) == (9 if row == "swin-l-mf" else 12)
        for key in compared:
            assert expected.spread_error(key, ours[key].numpy()) < TOLERANCES.get(key, 1e-5), (path, key)


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

        def masks(x: Tensor, features: Tensor) -> Tensor:
            logits = MaskedQueryDecoder.masks(self.decoder, x, features)
            for layer, index in turned:
                if layer == len(self.logits):
                    logits.view(-1)[index] *= -1
            self.logits.append(logits)
            return logits

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.decoder, "masks", masks)
            result: tuple[Tensor, Tensor] = self.decoder(maps, mask_features)
        return result

    def near_threshold(self, distance: float) -> list[tuple[int, int]]:
        """The (layer, flat index) pairs of mask logits closer to zero than this."""
        return [
            (layer, int(index))
            for layer, logits in enumerate(self.logits[: self.layers])
            for index in (logits.abs().flatten() < distance).nonzero()
        ]


@pytest.mark.parametrize("network", MASKED, indirect=True)
@torch.inference_mode()
def test_resizing_features_for_logits_turns_only_bits_on_the_threshold(network: tuple[str, MaskClassifier]) -> None:
    row, built = network
    pixels = normalise([figure(f"network/{row}__128x160__s1.npz").image], CPU)
    mask_features, maps = built.sem_seg_head.pixel_decoder(built.backbone(pixels)[0])
    decoder = built.sem_seg_head.predictor
    x = decoder.query_feat.weight[None]
    full = decoder.masks(x, mask_features)
    for features in maps:
        size = features.shape[2:]
        ours = decoder.masks(x, F.interpolate(mask_features, size, mode="bilinear"))
        published = F.interpolate(full, size, mode="bilinear")
        torch.testing.assert_close(ours, published, atol=3e-5, rtol=0)
        different = (ours >= 0) != (published.sigmoid() >= 0.5)
        assert (ours[different].abs() < 3e-5).all()
        assert different.float().mean() < 1e-3


def test_a_query_that_sees_nothing_sees_everything() -> None:
    logits = torch.tensor([[[[-1.0, -2.0]], [[-1.0, 0.0]]]])  # (1, 2 queries, 1, 2)
    assert mask_to_attention_mask(logits).tolist() == [[[[True, True], [False, True]]]]


BACKBONE = {"embed_dim": 32, "depths": (1, 1, 1, 1), "heads": (1, 2, 4, 8), "window": 4, "semantic_window": 4}
HEADS = {
    "maskformer": {"hidden": 64, "queries": 5, "heads": 4, "layers": 2, "feedforward": 32},
    "mask2former": {
        "hidden": 64,
        "queries": 5,
        "heads": 4,
        "encoder_layers": 1,
        "encoder_feedforward": 32,
        "decoder_layers": 3,
        "decoder_feedforward": 32,
    },
}


def tiny(row: str) -> MaskClassifier:
    """A network of the row's family, small enough for a moment's test."""
    spec = load_zoo().find(row)
    small = replace(
        spec,
        backbone=replace(spec.backbone, **BACKBONE),
        head=HEADS.get(spec.family, HEADS["mask2former"]),
        num_classes=7,
    )
    torch.manual_seed(0)
    built = build_model(small)
    assert isinstance(built, MaskClassifier)
    return built


@pytest.fixture(scope="module", params=["swin-l-mf", "swin-l-m2f", "swin-l-m2f-fapn", "swin-l-m2f-msfapn"])
def small(request: pytest.FixtureRequest) -> MaskClassifier:
    return tiny(request.param)


@torch.inference_mode()
def test_a_batch_is_its_images_one_by_one(small: MaskClassifier) -> None:
    pixels = torch.randn(2, 3, 70, 101)
    together = small.predict(pixels)
    for image, prediction in zip(pixels, together, strict=True):
        (alone,) = small.predict(image[None])
        assert prediction.size == (70, 101)
        torch.testing.assert_close(class_map(prediction), class_map(alone), atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_half_precision_by_autocast_stays_close(small: MaskClassifier) -> None:
    pixels = torch.randn(1, 3, 64, 96)
    expected = class_map(small.predict(pixels)[0])
    with torch.autocast("cpu", torch.bfloat16):
        (prediction,) = small.predict(pixels)
    half = class_map(prediction)
    assert half.dtype == torch.float32
    assert not torch.equal(half, expected)
    assert np.corrcoef(half.flatten(), expected.flatten())[0, 1] > 0.99


@torch.inference_mode()
def test_padding_comes_after_normalising(small: MaskClassifier) -> None:
    pixels = torch.randn(1, 3, 65, 33)
    (prediction,) = small.predict(pixels)
    assert isinstance(prediction, MaskClassification)
    padded = torch.zeros(1, 3, 96, 64)
    padded[:, :, :65, :33] = pixels
    class_logits, mask_logits = small(padded)
    assert prediction.padded_size == (96, 64)
    torch.testing.assert_close(prediction.class_logits, class_logits[0])
    torch.testing.assert_close(prediction.mask_logits, mask_logits[0])


def test_weights_of_fapn_and_msfapn_do_not_fit_each_other() -> None:
    fapn, msfapn = tiny("swin-l-m2f-fapn"), tiny("swin-l-m2f-msfapn")
    for mine, other in ((fapn, msfapn), (msfapn, fapn)):
        with pytest.raises(RuntimeError, match="Missing key"):
            mine.load_state_dict(other.state_dict(), strict=True)
