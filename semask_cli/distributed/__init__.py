"""The same engine many times: shards of a run, processes that share one, and what each has noted as done.

shards.py        which images are whose: a stable hash, so that nobody needs the whole list
world.py         the processes that torchrun has started
run_journal.py   what is done already, in the folder of the results
prediction.py    images -> files, by one process: what is not done yet, in order
"""
