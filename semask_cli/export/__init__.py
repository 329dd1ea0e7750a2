"""Networks for other engines: a model's pass as one graph of standard operators, compared before it is kept.

graph.py traces a network, with standard_operators.py in the place of semask's own; formats.py writes and runs what it
gives; comparison.py says how near the exported network is to ours. Nothing here knows the command line.
"""
