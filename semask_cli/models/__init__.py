"""Networks: normalised pixels in, a `Prediction` at low resolution out. They know no file, no dataset and no image.

    build.py                a row of the zoo -> its network
    network.py              what all networks have in common; prediction.py: what they answer with
    backbone.py             SeMask Swin, of patches.py and attention.py, in windows.py
    fpn.py                  the head of the -fpn rows
    maskformer.py, mask2former.py   the heads of the others, both mask_classification.py: pixel_decoders.py (with
                            deformable_encoder.py) and transformer.py, with positions.py

Parameters have the names of the published files.
"""
