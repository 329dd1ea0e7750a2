"""Running a network on images of one size, in batches that fit the device's memory."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from semask_cli.errors import DeviceError
from semask_cli.inference.config import Engine
from semask_cli.inference.cuda_graphs import CudaGraphs
from semask_cli.inference.device import ChosenPrecision, computing
from semask_cli.inference.memory import is_out_of_memory
from semask_cli.inference.openvino import OpenVINO
from semask_cli.inference.views import normalise
from semask_cli.io.images import RGB
from semask_cli.models.network import Network
from semask_cli.models.prediction import Prediction

log = logging.getLogger(__name__)

GPU_BATCH = 8  # images, windows or flipped views per batch on a GPU; fewer if its memory is too small


class Batches:
    """Runs `network` by torch, CUDA graphs or OpenVINO, on up to `size` images at a time."""

    def __init__(
        self,
        network: Network,
        *,
        device: torch.device,
        precision: ChosenPrecision,
        engine: Engine = "torch",
        cuda_graphs: bool = False,
    ) -> None:
        self.network, self.device, self.precision = network, device, precision
        self.size = GPU_BATCH if device.type == "cuda" else 1
        self._compiled: CudaGraphs | OpenVINO | None = None
        if engine == "openvino":
            self._compiled = OpenVINO(network, precision)
        elif cuda_graphs:
            self._compiled = CudaGraphs(network)

    def predict(self, images: Sequence[RGB]) -> list[Prediction]:
        """The predictions of uint8 RGB images (H, W, 3) of one size.

        If the device runs out of memory, the batch size is halved, permanently.

        Raises:
            DeviceError: the memory is too small for one image.
        """
        predict = (self._compiled or self.network).predict
        predictions: list[Prediction] = []
        while len(predictions) < len(images):
            batch = images[len(predictions) :][: self.size]
            try:
                with computing(self.precision, self.device):
                    predictions += predict(normalise(batch, self.device))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self._compiled:
                    self._compiled.clear()
                if self.size == 1:
                    height, width = batch[0].shape[:2]
                    raise DeviceError(
                        f"{self.device} has too little memory for a view of {width} x {height}",
                        "Use --mode slide, a smaller model, or --device cpu.",
                    ) from error
                self.size //= 2
                log.warning("out of memory on %s: continuing with batches of %d", self.device, self.size)
        return predictions
