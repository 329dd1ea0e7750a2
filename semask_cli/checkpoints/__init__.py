"""Checkpoints: from a model of the zoo to its network with the published weights. Nothing in a file is executed.

loading.py      model -> network
download.py     downloads published files, from mirrors.py or drive.py (Google Drive); https.py bounds each request,
                transfer.py writes the file, parts.py keeps unfinished ones
store.py        files in the cache, their origin and integrity; leftovers.py removes what killed runs left
reading.py      .pth, .pkl and .safetensors as data: archives.py finds the parts of a file, pickles.py and
                pickle_calls.py read pickles into records.py, tensors.py makes tensors of these
matching.py     which model a set of tensors fits, by names and shapes
conversion.py   the published file -> the one in the cache
"""
