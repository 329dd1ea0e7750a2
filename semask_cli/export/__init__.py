"""Export to other engines: a network as one graph of standard operators, verified before it is kept.

graph.py traces a network; formats.py writes and runs the graph; export_model.py compares it with the original and keeps
it if they agree, with a script by script.py.
"""
