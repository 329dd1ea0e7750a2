"""Reading and writing files.

images.py       the only reader of images; image_formats.py: which formats
inputs.py       with manifest.py: the images that a user names
files.py        atomic writes; overwriting.py: no result replaces an input
folders.py      searching folders; regular.py: reading regular files only
storage.py      files in stores (s3://, gs://, …), by fsspec; source_states.py: whether a source has changed
journal.py      append-only files of checksummed lines
cache.py        the cache folder; resources.py: files packaged with semask; extras.py: optional packages
read_only.py    mappings that cannot be changed
"""
