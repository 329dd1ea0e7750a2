"""Inference: an image in, labels or scores at its size out. It knows networks by their `Prediction` alone.

    image, uint8 RGB (H, W, 3)
    views.py            the sizes that the settings ask for (config.py); resized and normalised, (B, 3, h, w)
    batches.py          a Prediction of each view by the network: class maps at low resolution (models/prediction.py)
    sliding_window.py   or the Prediction of a view through windows, predicted when their rows are due
    merge.py            class scores of one tile of the image, averaged over the views; their argmax
    segmenter.py        all of it: labels, uint8 (H, W), in a Segmentation

    stream.py           many images through these steps at once; smoothing.py averages over the frames of a video
    device.py           where a network runs, and in which precision; memory.py, transfers.py: to and from a GPU
    cuda_graphs.py, openvino.py     other ways to run a network
    stopwatch.py, versions.py       what is recorded of a run

It does not know datasets' folders, files of checkpoints, or what is done with the labels. docs/how-it-works.md is the
story with shapes, dtypes and the two devices side by side.
"""
