"""Checkpoints: a row of the zoo in, its network with the published weights out. Nothing in a file is executed.

download.py fetches: mirrors.py knows other places, drive.py finds the file on Google Drive, https.py bounds each
request, transfer.py writes what arrives, parts.py keeps what has arrived. store.py knows where files lie in the cache,
what they were made from and whether they are whole; leftovers.py removes what killed runs left there. reading.py opens
.pth, .pkl and .safetensors as data: archives.py finds the parts of a file, pickles.py and pickle_calls.py read
them as records.py, tensors.py makes tensors of these.
matching.py tells which row tensors belong to, by names and shapes; conversion.py makes the file in the cache;
loading.py does all of it. It knows networks, but not what is done with them.
"""
