"""Batches get smaller where memory is short, and give the same predictions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from semask_cli.errors import DeviceError
from semask_cli.inference.batches import Batches
from semask_cli.models.prediction import Prediction
from tests.support import filled
from tests.support.toy_networks import ToyLogits


class ShortOfMemory(ToyLogits):
    """Has memory for `most` images at a time; `sizes` are those of the batches it was given."""

    def __init__(self, most: int) -> None:
        super().__init__(classes=5)
        self.most, self.sizes = most, list[int]()

    def predict(self, pixels: Tensor) -> list[Prediction]:
        self.sizes.append(len(pixels))
        if len(pixels) > self.most:
            raise torch.OutOfMemoryError
        return super().predict(pixels)


def test_a_batch_without_room_is_halved_once_and_for_all() -> None:
    network = ShortOfMemory(2)
    batches = Batches(network, device=torch.device("cpu"), precision="fp32")
    images = [filled.image(16, 24, seed) for seed in range(5)]
    alone = [batches.predict([image])[0].class_map(range(16), range(24)).maps for image in images]
    batches.size, network.sizes = 8, []
    together = [prediction.class_map(range(16), range(24)).maps for prediction in batches.predict(images)]
    assert network.sizes == [5, 4, 2, 2, 1]
    torch.testing.assert_close(together, alone)
    network.sizes = []
    batches.predict(images)
    assert network.sizes == [2, 2, 1]


def test_an_image_without_room_is_an_error() -> None:
    batches = Batches(ShortOfMemory(0), device=torch.device("cpu"), precision="fp32")
    with pytest.raises(DeviceError, match="too little memory for a view of 24 x 16"):
        batches.predict([filled.image(16, 24, 0)])


def test_other_errors_are_not_taken_for_it() -> None:
    network = ShortOfMemory(1)
    network.colours = network.colours[:, :2]  # no product of these shapes
    with pytest.raises(RuntimeError, match="einsum"):
        Batches(network, device=torch.device("cpu"), precision="fp32").predict([filled.image(16, 24, 0)])
