"""Networks: from normalised pixels to a `Prediction` at low resolution. They know no files, datasets or images.

    build.py                a model of the zoo -> its network
    network.py              the interface of all networks; prediction.py: their output
    backbone.py             SeMask Swin, of patches.py, window_attention.py and semantic_attention.py, on windows.py
                            and padding.py
    fpn.py                  the head of the -fpn rows
    maskformer.py, mask2former.py   the heads of the others, both mask_classification.py: pixel_decoders.py (with
                            deformable_encoder.py) and transformer.py, with positions.py

Parameters have the names of the published files.
"""
