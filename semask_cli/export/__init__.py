"""Networks for other engines: a model's pass as one graph of standard operators, compared before it is kept.

graph.py traces a network; formats.py writes and runs what it gives; export_model.py compares it with ours, and keeps it
if it is the same, with what script.py writes beside it. Nothing here knows the command line.
"""
