"""Which samples are evaluated, and the words for why they may not be the whole split."""

from hypothesis import given
from hypothesis import strategies as st

from semask_cli.datasets import Sample, classes
from semask_cli.datasets.folders import Dataset
from semask_cli.evaluation.selection import is_published_split, missing_files, select


def dataset(tmp_path, labelled, unlabelled=0, *, split="val", name="cityscapes"):
    samples = [
        Sample(id=f"{i:03d}", image=tmp_path / f"{i}.png", label=tmp_path / f"{i}.label.png" if i < labelled else None)
        for i in range(labelled + unlabelled)
    ]
    class_set = classes(name)
    return Dataset(
        name=name,
        split=split,
        root=tmp_path,
        layout="test",
        classes=class_set,
        encoding=class_set.encoding("trainIds"),
        samples=tuple(samples),
    )


def test_a_whole_split_is_not_partial(tmp_path):
    whole = select(dataset(tmp_path, 500))
    assert (len(whole.samples), whole.missing, whole.partial) == (500, 0, "")
    assert select(dataset(tmp_path, 499)).partial == "499 of the split's 500 images are here"


def test_what_is_missing_is_counted_and_taken_for_a_submission(tmp_path):
    some = dataset(tmp_path, 3, 2, split="")
    assert (len(select(some).samples), select(some).missing) == (3, 2)
    assert select(some).partial == "missing files: 2"
    assert missing_files(select(some).partial) == 2
    assert missing_files(select(some, limit=2).partial) == 2
    everything = select(some, unlabelled_too=True)
    assert missing_files(everything.partial) == 0
    assert (len(everything.samples), everything.missing, everything.partial) == (5, 0, "images without a label: 2")
    without = select(some, unpredicted=[some.samples[0]])
    assert [sample.id for sample in without.samples] == ["001", "002"]


@given(limit=st.integers(1, 30), seed=st.none() | st.integers())
def test_a_limit_takes_so_many_the_first_or_drawn_and_says_so(tmp_path_factory, limit, seed):
    everything = dataset(tmp_path_factory.getbasetemp(), 20, split="")
    drawn = select(everything, limit=limit, shuffle_seed=seed)
    assert drawn == select(everything, limit=limit, shuffle_seed=seed)
    assert len({sample.id for sample in drawn.samples}) == min(limit, 20)
    assert (drawn.partial == "") == (limit >= 20)
    if seed is None:
        assert drawn.samples == everything.samples[:limit]


def test_published_figures_are_of_one_split_alone(tmp_path):
    spec = dataset(tmp_path, 1).spec
    assert is_published_split(spec, "val")
    assert not is_published_split(spec, "train")
    assert not is_published_split(None, "val")
