"""mIoU that can be trusted.

`evaluate.evaluate` gets a dataset and a source of predictions, a model or a folder of masks. It gives an `Evaluation`:
figures from counts at the size of the label files, which an interrupted run resumes and any number of processes share.
Knows of models only that they give labels, and nothing of the command line.

    evaluate.py         the whole of it: sources.py gives predictions, selection.py the images, runner.py does the rest
    counting.py         labels and a prediction -> records.py, what one image counts; journal.py keeps it, status.py
                        reads how far a run is; cluster_source.py counts on a Ray cluster
    metrics.py          IoU and accuracy of a confusion matrix; cityscapes.py, fine_grained.py, boundaries.py and
                        calibration.py have the other figures, intervals.py how far each can be trusted
    summary.py          records -> results.py, an Evaluation, with provenance.py: what it was made from
    reading.py          an Evaluation from its JSON; schema.py describes that, verify.py checks what it says
    compare.py          two or more: comparable.py says whether that makes sense, differences.py whether they differ by
                        more than chance, labels_difference.py the same of label maps in memory
    report.py           pages for people (pages.py), with confusions.py, and side_by_side.py for comparisons
    submission.py       the ZIP file for a benchmark's server
"""
