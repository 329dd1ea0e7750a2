"""int8 on CPUs: calibrated linear layers and convolutions.

`calibration.py` observes a float32 network on images, `conversion.py` replaces its layers by those of `layers.py`,
`store.py` keeps the calibrated scales, `quantize_model.py` does all of this and compares the labels.
"""
