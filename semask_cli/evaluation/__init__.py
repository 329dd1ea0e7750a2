"""Evaluation: from a dataset and predictions to mIoU and other figures.

`evaluate.evaluate` takes a dataset and a source of predictions (a model, or a folder of masks) and returns an
`Evaluation`, computed from exact pixel counts at the size of the label files. A journal of these counts makes runs
resumable, and any number of processes can share one.

    evaluate.py         an evaluation from end to end: sources.py has the predictions, mask_files.py finds those in a
                        folder, selection.py has the images
    runner.py           predicts and counts the images that the journal lacks; cluster_source.py does so on Ray
    counting.py         labels and a prediction -> records.py, the counts of one image; journal.py stores them,
                        status.py reads the progress of a run
    metrics.py          IoU and accuracy of a confusion matrix; cityscapes.py, fine_grained.py, boundaries.py and
                        calibration.py have the other figures, intervals.py their confidence intervals
    summary.py          records -> results.py, an Evaluation, with its origin (provenance.py)
    reading.py          an Evaluation from its JSON, described by schema.py; verify.py recomputes its figures
    compare.py          comparison of evaluations: comparable.py checks their labels, differences.py tests whether they
                        differ, labels_difference.py does so for label maps in memory
    report.py           HTML pages (pages.py), with confusions.py, and side_by_side.py for comparisons
    submission.py       the ZIP file for a benchmark's server
"""
