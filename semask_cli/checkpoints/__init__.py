"""Checkpoints: a row of the zoo in, its network with the published weights out. Nothing in a file is executed.

download.py and drive.py fetch; store.py knows where files lie in the cache and what they were made from; reading.py
opens .pth, .pkl and .safetensors as data; matching.py tells which row tensors belong to, by names and shapes;
conversion.py makes the file in the cache; loading.py does all of it. It knows networks, but not what is done with them.
"""
