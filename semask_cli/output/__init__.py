"""What is made of labels: files, images and words.

Gets labels (H, W) uint8, class names and a palette, and the image where there is one. Gives masks, overlays, legends
and JSON, and the paths of the files that they are written to. Knows no models and no datasets.

    segmentation.py     Segmentation, what `predict` returns: segmented_image.py has its fields
    kinds.py            every kind of `--save`, by render.py (images) and vectors.py (outlines, of regions.py)
    paths.py            where the files of many images are written
    gallery.py          a page of all images of a run
    class_shares.py     how much of an image each class covers; percentages.py: how figures are shown
"""
