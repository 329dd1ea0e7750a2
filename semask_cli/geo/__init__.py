"""Georeferenced rasters of any size, processed in blocks. Needs the extra `semask[geo]`.

blocks.py splits a raster so that every pixel keeps the sliding windows of the whole raster; raster.py reads the blocks
and writes labels with the same transform and reference system.
"""
