"""What is made of labels: files, images and words.

Gets labels (H, W) uint8, class names and a palette, and the image where there is one. Gives masks, overlays, legends
and JSON, and the paths of the files that they are written to. Knows no models and no datasets.
"""
