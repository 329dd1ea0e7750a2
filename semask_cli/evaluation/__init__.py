"""mIoU that can be trusted.

`evaluate.evaluate` gets a dataset and a source of predictions, a model or a folder of masks. It gives an `Evaluation`:
figures from counts at the size of the label files, which an interrupted run resumes and any number of processes share.
Knows of models only that they give labels, and nothing of the command line.
"""
