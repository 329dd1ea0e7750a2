"""semask: the published SeMask semantic segmentation models, on pictures and datasets."""

__version__ = "0.1.0"
