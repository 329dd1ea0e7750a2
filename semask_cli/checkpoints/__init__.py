"""Checkpoints: a row of the zoo in, its network with the published weights out. Nothing in a file is executed.

    loading.py      all of it: row -> network
    download.py     fetches the published file, from mirrors.py or drive.py (Google Drive); https.py bounds each
                    request, transfer.py writes what arrives, parts.py keeps what has arrived
    store.py        where files lie in the cache, what they were made from and whether they are whole; leftovers.py
                    removes what killed runs left there
    reading.py      .pth, .pkl and .safetensors as data: archives.py finds the parts of a file, pickles.py and
                    pickle_calls.py read them as records.py, tensors.py makes tensors of these
    matching.py     which row tensors belong to, by names and shapes
    conversion.py   the published file -> the one in the cache

It knows networks, but not what is done with them.
"""
