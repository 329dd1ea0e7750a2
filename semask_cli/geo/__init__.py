"""Georeferenced rasters of any size, read and written a block at a time. Needs the extra `semask[geo]`.

blocks.py cuts a raster so that every pixel has the sliding windows that it has in the whole; raster.py reads blocks and
writes labels with the same transform and reference system.
"""
