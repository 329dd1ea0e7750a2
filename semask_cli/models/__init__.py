"""Networks: normalised pixels in, a `Prediction` at low resolution out. They know no file, no dataset and no image.

build.py goes from a row of the zoo to its network; backbone.py is SeMask Swin; fpn.py, maskformer.py and mask2former.py
are the heads, the latter two over pixel_decoders.py and transformer.py; prediction.py is what all of them answer with.
Parameters have the names of the published files.
"""
