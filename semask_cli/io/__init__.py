"""Files in and out, for all rooms above.

Gets paths, streams or arrays. Gives images as uint8 RGB (H, W, 3), files that are written whole or not at all, and the
folders of the cache and of the project's own data. Knows nothing of what is in an image.
"""
