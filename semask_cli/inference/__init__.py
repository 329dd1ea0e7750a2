"""Inference: from an image to labels or scores at its size. Networks are used only through their `Prediction`.

    image, uint8 RGB (H, W, 3)
    views.py            the image at the sizes in the settings (config.py), normalised: (B, 3, h, w)
    batches.py          the network's Prediction of each view: class maps at low resolution (models/prediction.py)
    sliding_window.py   or the Prediction of a view in sliding windows, predicted on demand
    merge.py            class scores of one tile of the image, averaged over the views; their argmax
    segmenter.py        all of this: labels, uint8 (H, W), in a Segmentation

    stream.py           many images through these steps concurrently; cores.py divides a CPU's threads between them
    smoothing.py        averages over frames of a video
    device.py           devices and precisions; memory.py: limits; transfers.py: copies to and from a GPU
    cuda_graphs.py, openvino.py     other ways to run a network
    stopwatch.py, versions.py       facts that are recorded with results

docs/how-it-works.md describes the whole way, with shapes and dtypes, on CPU and GPU.
"""
