"""What damage does: thousands of damaged files, kills and failing system calls, each with one of two right outcomes.

A damaged thing is refused in our own words, or it gives exactly what the whole one gives. `python -m tests.faults` runs
the long harness and prints a table; test_faults.py runs a few hundred of each kind.
"""
