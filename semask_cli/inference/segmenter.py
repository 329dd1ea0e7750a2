"""The engine: images in, labels or scores out."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from semask_cli.datasets import classes
from semask_cli.errors import DeviceError, ImageError
from semask_cli.inference.config import InferenceConfig
from semask_cli.inference.cuda_graphs import CudaGraphs
from semask_cli.inference.device import ChosenPrecision, computing
from semask_cli.inference.memory import is_out_of_memory
from semask_cli.inference.merge import MEMORY, Merge, View
from semask_cli.inference.sliding_window import SlidingWindow
from semask_cli.inference.stopwatch import Stopwatch
from semask_cli.inference.transfers import to_host
from semask_cli.inference.versions import versions
from semask_cli.inference.views import normalise, resize, view_sizes
from semask_cli.io.images import MAX_PIXELS, RGB, ImageSource, read_image
from semask_cli.models.network import Network
from semask_cli.models.prediction import Prediction
from semask_cli.output.segmentation import RunInfo, Segmentation
from semask_cli.zoo import ModelSpec

log = logging.getLogger(__name__)

GPU_BATCH = 8  # windows or flipped views in a batch on a GPU; fewer where its memory is too small
DECODE_AHEAD = 2  # images decoded before the network asks for them


class Segmenter:
    """A network with its weights, and the settings of inference. Made by `semask_cli.load`.

    `memory` bounds, in bytes, what is held while views are merged (see `Merge`); `cuda_graphs` replays the network (see
    `CudaGraphs`); `digest` is the SHA-256 of the published file the weights came from.
    """

    def __init__(
        self,
        network: Network,
        spec: ModelSpec,
        *,
        config: InferenceConfig,
        device: torch.device,
        precision: ChosenPrecision,
        memory: int = MEMORY,
        cuda_graphs: bool = False,
        digest: str,
    ) -> None:
        self.network, self.spec, self.config = network, spec, config
        self.device, self.precision, self.memory, self.digest = device, precision, memory, digest
        self._graphs = CudaGraphs(network) if cuda_graphs else None
        self._batch_size = GPU_BATCH if device.type == "cuda" else 1

    def predict(self, image: ImageSource, *, confidence: bool = False, max_pixels: int = MAX_PIXELS) -> Segmentation:
        """Segment an image: a path, a PIL image, or uint8 RGB (H, W, 3); `images.read_image` says what it reads.

        `confidence` keeps the score of each pixel's class too, which takes longer.

        Raises:
            ImageError: the image cannot be read.
        """
        watch = Stopwatch()
        with watch("decode"):
            pixels = read_image(image, max_pixels=max_pixels)
        return self._segmentation(pixels, watch, confidence=confidence)

    def predict_each(
        self, images: Iterable[ImageSource], *, confidence: bool = False, max_pixels: int = MAX_PIXELS
    ) -> Iterator[Segmentation | ImageError]:
        """Segment many images, in order. The next ones are decoded while the network works.

        An image that cannot be read gives its error in its place.
        """

        def decode(image: ImageSource) -> tuple[RGB | ImageError, Stopwatch]:
            watch = Stopwatch()
            try:
                with watch("decode"):
                    return read_image(image, max_pixels=max_pixels), watch
            except ImageError as error:
                return error, watch

        sources = iter(images)
        with ThreadPoolExecutor(1, thread_name_prefix="decode") as decoder:
            decoding = deque(decoder.submit(decode, image) for image in islice(sources, DECODE_AHEAD))
            while decoding:
                pixels, watch = decoding.popleft().result()
                decoding.extend(decoder.submit(decode, image) for image in islice(sources, 1))
                if isinstance(pixels, ImageError):
                    yield pixels
                else:
                    yield self._segmentation(pixels, watch, confidence=confidence)

    @torch.inference_mode()
    def scores(self, image: ImageSource) -> Tensor:
        """The merged class scores at the image's size, whose argmax the labels are: (classes, H, W) float32, CPU."""
        return self._merge(read_image(image), Stopwatch()).scores()

    @torch.inference_mode()
    def _segmentation(self, pixels: RGB, watch: Stopwatch, *, confidence: bool) -> Segmentation:
        merge = self._merge(pixels, watch)
        with watch("merge", on=self.device):
            labels, best = merge.labels_and_scores() if confidence else (merge.labels(), None)
        if labels.device.type != "cpu":
            with watch("copy", on=self.device):
                labels, best = to_host(labels), None if best is None else to_host(best)
        class_set = classes(self.spec.dataset)
        return Segmentation(
            labels=labels.numpy(),
            classes=class_set.classes,
            palette=class_set.palette,
            image=pixels,
            confidence=None if best is None else best.numpy(),
            info=self._info(watch),
        )

    def _merge(self, pixels: RGB, watch: Stopwatch) -> Merge:
        """The image's views, predicted (windows are predicted when their rows are merged), and how to merge them."""

        def predict_batch(images: list[RGB]) -> list[Prediction]:
            with watch("network", on=self.device):
                return self._predict_batch(images)

        height, width = pixels.shape[:2]
        views = []
        for size in view_sizes(self.spec, self.config, height, width):
            with watch("resize"):
                image = resize(pixels, size, preprocessing=self.spec.preprocessing)
                images = [image, np.ascontiguousarray(image[:, ::-1])] if self.config.flip else [image]
            if self.config.mode == "slide":
                predictions: list[Prediction] = [SlidingWindow(image, self.config, predict_batch) for image in images]
            else:
                predictions = predict_batch(images)
            views += [View(p, flipped) for p, flipped in zip(predictions, (False, True), strict=False)]
        return Merge(views, size=(height, width), softmax=self.network.softmax, device=self.device, memory=self.memory)

    def _predict_batch(self, images: list[RGB]) -> list[Prediction]:
        """The network on images of one size, in batches that fit the GPU's memory."""
        predict = (self._graphs or self.network).predict
        predictions: list[Prediction] = []
        while len(predictions) < len(images):
            batch = images[len(predictions) :][: self._batch_size]
            try:
                with computing(self.precision, self.device):
                    predictions += predict(normalise(batch, self.device))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self._graphs:
                    self._graphs.clear()
                if self._batch_size == 1:
                    height, width = batch[0].shape[:2]
                    raise DeviceError(
                        f"{self.device} has too little memory for a view of {width} x {height}",
                        "Use --mode slide, a smaller model, or --device cpu.",
                    ) from error
                self._batch_size //= 2
                log.warning("out of memory on %s: going on with batches of %d", self.device, self._batch_size)
        return predictions

    def _info(self, watch: Stopwatch) -> RunInfo:
        return RunInfo(
            model=self.spec.name,
            dataset=self.spec.dataset,
            checkpoint=self.digest,
            device=str(self.device),
            precision=self.precision,
            mode=self.config.mode,
            scales=(1.0,) if self.config.scales is None else self.config.scales,
            flip=self.config.flip,
            milliseconds={stage: round(spent, 3) for stage, spent in watch.milliseconds.items()},
            versions=versions(),
        )
