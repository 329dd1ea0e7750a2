"""Output files of a segmentation.

From labels (H, W) uint8, class names, a palette and the image: masks, overlays, legends and JSON, and the paths of
their files. Nothing here knows models or datasets.

    segmentation.py     Segmentation, the result of `predict`; segmented_image.py has its fields
    kinds.py            every kind of `--save`, by render.py (images) and vectors.py (outlines, of regions.py)
    simplification.py   outlines with fewer corners, still valid
    paths.py            the output files of many images
    gallery.py          a page of all images of a run
    class_shares.py     how much of an image each class covers; percentages.py: how figures are shown
"""
