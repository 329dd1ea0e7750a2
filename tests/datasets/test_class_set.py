import numpy as np
import pytest

from semask_cli.datasets import IGNORE, classes, read_classes
from semask_cli.errors import DatasetError, UsageError

COUNTS = {"ade20k": 150, "cityscapes": 19, "coco-stuff10k": 171, "pascal-context59": 59, "pascal-voc2012": 21}


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_every_class_has_a_clean_name_and_a_colour(name, count):
    class_set = classes(name)
    assert len(class_set) == len(set(class_set.classes)) == count
    assert all(label == label.strip() and label for label in class_set.classes)
    assert class_set.palette.shape == (count, 3)
    assert class_set.palette.dtype == np.uint8


@pytest.mark.parametrize("name", COUNTS)
def test_every_encoding_writes_each_class_once_and_ignores_255(name):
    for encoding in classes(name).encodings.values():
        written = encoding.table[(encoding.table >= 0) & (encoding.table != IGNORE)]
        assert written.tolist() == list(range(len(classes(name))))
        assert encoding.table[255] == IGNORE


def test_the_encodings_are_the_published_ones():
    cityscapes = classes("cityscapes").encodings["labelIds"].table
    assert [cityscapes[v] for v in (0, 7, 8, 9, 11, 26, 29, 33)] == [255, 0, 1, 255, 2, 13, 255, 18]
    assert cityscapes[34] == -1
    ade20k = classes("ade20k").encodings["reduce-zero"].table
    assert [ade20k[v] for v in (0, 1, 150, 151, 254, 255)] == [255, 0, 149, -1, -1, 255]
    coco = classes("coco-stuff10k").encodings["mat"].table
    assert [coco[v] for v in (0, 1, 11, 12, 13, 182, 183)] == [255, 0, 10, -1, 11, 170, -1]


def test_pascals_classes_and_colours_are_the_published_ones():
    voc = classes("pascal-voc2012")
    assert (voc.classes[0], voc.classes[15], voc.classes[20]) == ("background", "person", "tvmonitor")
    # The VOC colour map deals the bits of the index to red, green and blue.
    bits = [[sum((i >> (3 * n + c) & 1) << (7 - n) for n in range(3)) for c in range(3)] for i in range(21)]
    assert voc.palette.tolist() == bits
    context = classes("pascal-context59")
    assert list(context.classes) == sorted(context.classes)
    assert (context.encodings["reduce-zero"].table[[0, 1, 59, 60]]).tolist() == [255, 0, 58, -1]


def test_any_spelling_of_a_dataset_is_found_and_an_unknown_one_refused():
    assert classes("COCO_Stuff10k").name == "coco-stuff10k"
    with pytest.raises(UsageError, match="there is no dataset 'ade'"):
        classes("ade")


def test_own_classes_are_read_with_or_without_colours(tmp_path):
    file = tmp_path / "roads.txt"
    file.write_text("\ufeff# index order\nroad\nkerb, 1, 2, 3\n\nsky\n", encoding="utf-8")
    own = read_classes(file)
    assert own.spec is None
    assert own.hex_colours[1] == "#010203"
    assert (own.name, own.classes) == ("roads", ("road", "kerb", "sky"))
    assert own.palette[1].tolist() == [1, 2, 3]
    assert len({tuple(colour) for colour in own.palette.tolist()}) == 3
    assert own.encodings["reduce-zero"].table[:5].tolist() == [255, 0, 1, 2, -1]


@pytest.mark.parametrize(
    "text",
    ["", "road,1,2", "road,1,2,256", "road,red,0,0", "road\nsky\nroad,1,2,3", "\n".join(map(str, range(256)))],
)
def test_a_class_file_that_makes_no_sense_is_refused_by_name(tmp_path, text):
    file = tmp_path / "classes.txt"
    file.write_text(text)
    with pytest.raises(DatasetError, match=r"classes\.txt"):
        read_classes(file)


def test_255_own_classes_get_255_colours(tmp_path):
    file = tmp_path / "many.txt"
    file.write_text("\n".join(f"class {i}" for i in range(255)))
    own = read_classes(file)
    assert len({tuple(colour) for colour in own.palette.tolist()}) == 255
    assert "reduce-zero" not in own.encodings
