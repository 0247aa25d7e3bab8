"""Every format that people have: recognised from its path alone, the right ids, and each fault with its file and object."""

from __future__ import annotations

import json
import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from configs.schema import Augment, Config, Data
from tests.data import format_folders
from tests.data.format_folders import COUNT, FOLDERS, HEIGHT, NAMES, SIZE, STEMS, WIDTH, expected, image, mask, number_of
from tests.data.making import save
from trainer.data import DataError, open_data
from trainer.data.convert import convert


def read(root, **fields):
    """The data of a folder by its path alone, and the label of each picture by its number."""
    config = Config(data=Data(**{"source": "folder", "path": str(root), "channels": 0, **fields}), augment=Augment(crop=(16, 16)))
    data = open_data(config)
    examples = [source.load(index) for source in (data.train, data.validation) for index in range(len(source))]
    return data, {number_of(example.name): example.label for example in examples}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of a format, written once: its path, and what its maker gave."""
    kept = {}

    def make(name):
        if name not in kept:
            root = tmp_path_factory.mktemp(name)
            kept[name] = root, FOLDERS[name](root)
        return kept[name]

    return make


@pytest.mark.parametrize("name", FOLDERS)
def test_a_format_is_recognised_and_its_ids_are_right(name, made):
    root, (names, _) = made(name)
    data, labels = read(root)
    assert data.classes[:3] == names
    assert sorted(labels) == list(range(COUNT))
    for number, label in labels.items():
        np.testing.assert_array_equal(label, expected(name, number), err_msg=f"{number}")
    assert any("recognised" in note or "classes of" in note for note in data.notes)
    if data.config.data.source != "folder" or name in ("voc", "camvid", "cityscapes", "huggingface", "yolo", "coco_panoptic"):
        assert (len(data.train), len(data.validation)) == (4, 2)
    # What was found out stands in the config, and is read again alike.
    again = open_data(data.config)
    assert again.classes == data.classes and again.train.names == data.train.names


def place(root, paths, name):
    return root / paths[name].format(STEMS[2])


def empty(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def text_instead(path):
    path.write_text("no picture, and no annotation\n")


def other_size(path):
    Image.fromarray(image(2)[:-3, :-5]).save(path)


def named(text, name):
    """Whether a message names picture 2, by whichever of its files."""
    keys = (STEMS[2], "aachen_000002", "case_002", "0001TP_000002", "ADE_train_00000002")
    return any(key in text for key in keys)


@pytest.mark.parametrize("name", format_folders.IMAGE)
def test_a_fault_of_an_image_names_it(name, made, tmp_path):
    faults = {"empty": empty, "text": text_instead, "missing": os.remove, "size": other_size}
    if name in ("yolo", "via"):
        del faults["size"]  # Nothing says the size: shares of it are drawn, or pixels as they are.
    says = {"empty": "is empty (0 bytes)", "text": "is not an image", "size": f"{WIDTH} x {HEIGHT}", "missing": ""}
    for fault, change in faults.items():
        root = shutil.copytree(made(name)[0], tmp_path / fault)
        change(place(root, format_folders.IMAGE, name))
        with pytest.raises(DataError) as caught:
            read(root)
        assert named(str(caught.value), name) and says[fault] in str(caught.value), (fault, str(caught.value))


# Faults that leave what may be meant so: half of YOLO's lines; an image that nobody annotated is left out, or has no
# object, which is said with its name; and a folder without its only training file has nothing to train on.
_SOUND = {("yolo", "cut"), ("yolo", "empty"), ("yolo", "missing")}
_SAID = {("labelme", "missing"), ("labelme_masks", "missing"), ("supervisely", "missing"), ("yolo", "missing")}


@pytest.mark.parametrize("name", format_folders.ANNOTATION)
def test_a_fault_of_an_annotation_names_it(name, made, tmp_path):
    for fault, change in {"empty": empty, "cut": cut, "text": text_instead, "missing": os.remove}.items():
        root = shutil.copytree(made(name)[0], tmp_path / fault)
        path = place(root, format_folders.ANNOTATION, name)
        change(path)
        if (name, fault) in _SOUND | _SAID:
            data, labels = read(root)
            assert (name, fault) not in _SAID or any(named(note, name) for note in data.notes)
            assert (name, fault) in _SOUND or 2 not in labels
            continue
        with pytest.raises(DataError) as caught:
            read(root)
        # A file for all images is recognised by its content; without it the folder holds nothing to read.
        of_all = STEMS[2] not in path.stem and not named(path.stem, name)
        text = str(caught.value)
        assert path.name in text or (named(text, name) and fault == "missing") or (of_all and root.name in text), text


@pytest.mark.parametrize("name", format_folders.TABLE)
def test_a_fault_of_a_table_names_it(name, made, tmp_path):
    for fault, change in {"empty": empty, "text": text_instead}.items():
        root = shutil.copytree(made(name)[0], tmp_path / fault)
        path = root / format_folders.TABLE[name]
        change(path)
        with pytest.raises(DataError) as caught:
            read(root)
        assert path.name in str(caught.value), (fault, str(caught.value))


@pytest.mark.parametrize("name", FOLDERS)
def test_what_does_not_matter_changes_nothing(name, made, tmp_path):
    root = tmp_path / "a" / "b"
    shutil.copytree(made(name)[0], root)
    for path in list(root.rglob("*")):
        if path.suffix in (".json", ".xml", ".txt", ".csv", ".yaml") and path.name != "state.json":
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    for stray in (".DS_Store", "README.md", "Thumbs.db", "__MACOSX/._x.png", "notes/license.txt"):
        (root / stray).parent.mkdir(exist_ok=True)
        (root / stray).write_text("this is no data\n")
    where = root if name in ("camvid", "colored_folder", "huggingface", "huggingface_saved") else tmp_path
    data, labels = read(where)
    assert data.classes[:3] == made(name)[1][0]
    for number, label in labels.items():
        np.testing.assert_array_equal(label, expected(name, number), err_msg=f"{number}")
