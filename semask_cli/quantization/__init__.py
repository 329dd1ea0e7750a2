"""int8 on CPUs: what a network's linear layers and convolutions take, their products of 8-bit numbers, and a gate.

Gets a network with its weights and what was calibrated for them, gives the same network in int8. `calibration.py`
watches a float32 network on images, `conversion.py` replaces its layers by those of `layers.py`, `store.py` keeps what
was calibrated, `quantize_model.py` does all of it and compares.
"""
