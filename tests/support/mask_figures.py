"""The stages of a mask classifier, held against figures from the authors' code.

Float32 noise is 4e-6 of a figure's spread, and 4e-5 of the spread of centred scores.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from semask_cli.inference.views import normalise
from semask_cli.models.mask_classification import MaskClassification, MaskClassifier
from semask_cli.models.prediction import Prediction
from tests.support.figures import Figure

TOLERANCES = {"sem_seg": 1e-4, "sem_seg_centred": 1e-4}  # the others: 1e-5


def class_map(prediction: Prediction) -> Tensor:
    """All of it: (classes, height, width)."""
    height, width = prediction.size
    return prediction.class_map(range(height), range(width)).maps


def stages_and_prediction(built: MaskClassifier, expected: Figure) -> tuple[dict[str, Tensor], MaskClassification]:
    """The stages before the query decoder under the names of a figure file, and the Prediction."""
    stages: dict[str, Tensor] = {}

    def keep(_: nn.Module, features: tuple[list[Tensor]], result: tuple[Tensor, list[Tensor]]) -> None:
        stages.update({f"res{i}": feature for i, feature in enumerate(features[0], start=2)})
        stages.update({f"multi_scale_{i}": feature for i, feature in enumerate(result[1])})
        stages["mask_features"] = result[0]

    hook = built.sem_seg_head.pixel_decoder.register_forward_hook(keep)
    (prediction,) = built.predict(normalise([expected.image], torch.device("cpu")))
    hook.remove()
    assert isinstance(prediction, MaskClassification)
    return stages, prediction


def decoded(prediction: MaskClassification, expected: Figure) -> dict[str, Tensor]:
    """What the query decoder leads to, under the names of a figure file."""
    centred = replace(prediction, class_logits=prediction.class_logits + torch.from_numpy(expected["class_bias_delta"]))
    return {
        "pred_logits": prediction.class_logits[None],
        "pred_masks": prediction.mask_logits[None],
        "sem_seg": class_map(prediction),
        "sem_seg_centred": class_map(centred),
    }


def assert_published(expected: Figure, stages: dict[str, Tensor], prediction: MaskClassification, *, keys: int) -> None:
    """All stages that the figure holds, `keys` of them, agree with it."""
    ours = {**stages, **decoded(prediction, expected)}
    compared = [key for key in expected.arrays if key in ours]
    assert len(compared) == keys
    for key in compared:
        assert expected.spread_error(key, ours[key].numpy()) < TOLERANCES.get(key, 1e-5), key
