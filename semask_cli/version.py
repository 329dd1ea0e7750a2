"""The version, which every result and every converted file names."""

__version__ = "0.1.0"
