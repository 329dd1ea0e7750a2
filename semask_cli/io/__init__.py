"""Files in and out, for all rooms above.

Gets paths, streams or arrays. Gives images as uint8 RGB (H, W, 3), files that are written whole or not at all, and the
folders of the cache and of the project's own data. Knows nothing of what is in an image.

    images.py       the one reader of images; inputs.py and manifest.py find those that a person names
    files.py        writing: a file is whole or not there; overwriting.py: no result replaces an input
    folders.py      searching folders; regular.py: opening what must be a file
    storage.py      files in stores (s3://, gs://, …), by fsspec; source_states.py: did one change after reading?
    journal.py      append-only files of checksummed lines
    cache.py        the cache's folder; resources.py: files that travel with the package; extras.py: optional packages
"""
