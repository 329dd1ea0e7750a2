"""The same engine many times: shards of a run, processes that share one, and what each has noted as done.

    shards.py         which images belong to which shard: a stable hash, which needs no list of all
    world.py          the processes that torchrun has started, which need not share a disk
    run_journal.py    what is done already, in the folder of the results
    parts.py          results in few large files
    table.py          results in one file
    answers.py        what is known of an image once it is segmented
    segment_batch.py  rows in, rows out: what engines for clusters call
    prediction.py     images -> files, by one process: what is not done yet, in order
    status.py         the progress of a run

An engine for clusters is above it: `semask_cli.ray`.
"""
