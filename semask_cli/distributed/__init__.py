"""Runs over many images: shards, processes under torchrun, and journals from which a run resumes.

    shards.py         which images belong to which shard, by a stable hash
    world.py          the processes started by torchrun, which need not share a disk
    run_journal.py    the finished images, recorded in the output folder
    run_records.py    the lines of the journal as they are read
    parts.py          results in a few large files
    table.py          results in one file
    answers.py        the results of one image
    segment_batch.py  rows in, rows out: the callable for cluster engines
    prediction.py     images -> files by one process, in order, skipping what is done
    status.py         the progress of a run

`semask_cli.ray` runs all this on a Ray cluster.
"""
