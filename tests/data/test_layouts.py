"""Folders as people have them: any usual names of folders and files, splits by folder, lists in any form."""

from __future__ import annotations

import os

import numpy as np
import pytest

from tests.data.making import config_for, picture, save
from trainer.data import DataError, open_data

COUNT = 8
LAYOUTS = {
    "carvana": ("images/{i:04}.png", "masks/{i:04}_mask.gif"),
    "both named": ("images/img_{i:03}.png", "masks/mask_{i:03}.png"),
    "cityscapes": ("leftImg8bit/train/a/a_{i:06}_leftImg8bit.png", "gtFine/train/a/a_{i:06}_gtFine_labelIds.png"),
    "one folder": ("{i}.png", "{i}_mask.png"),
    "imgs": ("imgs/{i}.png", "masks/{i}.png"),
    "capitals": ("Images/{i}.png", "Masks/{i}.png"),
    "labels": ("images/{i}.png", "labels/{i}.png"),
    "annotations": ("images/{i}.PNG", "annotations/{i}.png"),
    "voc": ("JPEGImages/2007_{i:06}.png", "SegmentationClass/2007_{i:06}.png"),
    "pets": ("images/{i}.png", "annotations/trimaps/{i}.png"),
    "one folder below each": ("images/all/{i}.png", "masks/final/v2/{i}_mask.png"),
    "gt below": ("set/images/{i}.png", "set/gt/{i}.png"),
    "another suffix": ("images/{i}.jfif", "masks/{i}.PPM"),
    "drive": ("images/{i:02}_training.png", "1st_manual/{i:02}_manual1.png"),
}


def make(root, names, count=COUNT):
    for number in range(count):
        for name, array in zip(names, picture(number), strict=True):
            path = root / name.format(i=number)
            formats = {".jfif": {"format": "PNG"}, ".ppm": {"format": "PPM"}, ".png": {"format": "PNG"}, ".gif": {}}
            save(path, array, **formats[path.suffix.lower()])
    return root


def belongs(data) -> int:
    """Pairs of both splits whose mask is its image's."""
    right = 0
    for source in (data.train, data.validation):
        for index in range(len(source)):
            example = source.load(index)
            number = int(np.argmax([np.array_equal(example.image, picture(n)[0]) for n in range(20)]))
            np.testing.assert_array_equal(example.label, picture(number)[1] // 255)
            right += 1
    return right


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "drive"])
def test_a_usual_layout_is_recognised_and_said(name, tmp_path):
    data = open_data(config_for(make(tmp_path, LAYOUTS[name])))
    assert belongs(data) == COUNT
    assert any(note.startswith("recognised") for note in data.notes) or name == "another suffix"


def test_what_is_not_recognised_names_lists_as_the_way_out(tmp_path):
    with pytest.raises(DataError, match="(?s)write train.txt and val.txt there.*image path TAB mask path"):
        open_data(config_for(make(tmp_path, LAYOUTS["drive"])))


@pytest.mark.parametrize(
    "folders",
    [("train", "val"), ("Train", "Val"), ("training", "validation"), ("images/train", "images/val"), ("a/tr", "a/dev")],
)
def test_folders_of_splits_are_splits(folders, tmp_path):
    for folder, count in zip(folders, (5, 3), strict=True):
        place = "" if "/" not in folder or folder.startswith("a/") else folder.split("/")[1] + "/"
        if folder.startswith("images/"):
            make(tmp_path, (f"images/{place}{{i}}.png", f"masks/{place}{{i}}.png"), count)
        else:
            make(tmp_path, (f"{folder}/images/{{i}}.png", f"{folder}/masks/{{i}}.png"), count)
    make(tmp_path, ("more/images/m{i}.png", "more/masks/m{i}.png"), 2)
    make(tmp_path, ("test/images/t{i}.png", "test/masks/t{i}.png"), 2)
    data = open_data(config_for(tmp_path))
    assert (len(data.train), len(data.validation)) == (5, 3)
    assert any("2 pairs in no folder of a split are not used" in note for note in data.notes)
    assert any("2 pairs of a test split are neither trained on nor evaluated" in note for note in data.notes)


def test_a_test_split_is_not_trained_on(tmp_path):
    make(tmp_path, ("train/images/{i}.png", "train/masks/{i}.png"), 6)
    make(tmp_path, ("HELDOUT_1/images/{i}.png", "HELDOUT_1/masks/{i}.png"), 4)
    data = open_data(config_for(tmp_path))
    assert len(data.train) + len(data.validation) == 6
    assert all(name.startswith("train/") for name in (*data.train.names, *data.validation.names))


def test_one_mask_an_object_is_united(tmp_path):
    for number in range(4):
        image, mask = picture(number)
        left, right = mask.copy(), mask.copy()
        left[:, 14:], right[:, :14] = 0, 0
        save(tmp_path / f"case{number}" / "images" / f"case{number}.png", image)
        save(tmp_path / f"case{number}" / "masks" / "a1.png", left)
        save(tmp_path / f"case{number}" / "masks" / "b2.png", right)
        save(tmp_path / "busi" / f"benign ({number}).png", image)
        save(tmp_path / "busi" / f"benign ({number})_mask.png", left)
        save(tmp_path / "busi" / f"benign ({number})_mask_1.png", right)
    assert belongs(open_data(config_for(tmp_path / "busi"))) == 4
    import shutil

    shutil.rmtree(tmp_path / "busi")
    data = open_data(config_for(tmp_path))
    assert belongs(data) == 4 and any("one mask for each of its objects" in note for note in data.notes)


def test_linked_folders_are_followed_and_circles_are_not(tmp_path):
    make(tmp_path / "real", ("images/{i}.png", "masks/{i}.png"))
    for kind in ("images", "masks"):
        (tmp_path / "here" / kind).mkdir(parents=True)
        os.symlink(tmp_path / "real" / kind, tmp_path / "here" / kind / "linked")
        os.symlink(tmp_path / "here" / kind, tmp_path / "here" / kind / "round")
    assert belongs(open_data(config_for(tmp_path / "here"))) == COUNT


LINES = {
    "tab": ("{d}pics/{i}.png\t{d}annot/{i}.png", ".txt", ""),
    "comma": ("{d}pics/{i}.png,{d}annot/{i}.png", ".txt", ""),
    "space": ("{d}pics/{i}.png {d}annot/{i}.png", ".txt", ""),
    "crlf": ("{d}pics/{i}.png\t{d}annot/{i}.png\r", ".txt", ""),
    "dot": ("./{d}pics/{i}.png ./{d}annot/{i}.png", ".txt", ""),
    "csv": ("{d}pics/{i}.png,{d}annot/{i}.png", ".csv", "image,mask\n"),
    "absolute": ("{r}/{d}pics/{i}.png\t{r}/{d}annot/{i}.png", ".txt", ""),
    "space in a name": ("{d}pics/{i}.png {d}annot/{i}.png", ".lst", ""),
}


@pytest.mark.parametrize("name", LINES)
def test_lists_in_any_form(name, tmp_path):
    line, suffix, header = LINES[name]
    folder = "my files/" if name == "space in a name" else ""
    make(tmp_path, (folder + "pics/{i}.png", folder + "annot/{i}.png"))
    for split, numbers in (("train", range(6)), ("val", (6, 7))):
        text = header + "".join(line.format(i=i, d=folder, r=tmp_path) + "\n" for i in numbers)
        (tmp_path / f"{split}{suffix}").write_text(text, newline="", encoding="utf-8")
    data = open_data(config_for(tmp_path))
    assert belongs(data) == COUNT and len(data.validation) == 2


def test_one_file_under_two_names_is_found(tmp_path):
    make(tmp_path, ("pics/{i}.png", "annot/{i}.png"))
    os.symlink("pics", tmp_path / "alias")
    (tmp_path / "train.txt").write_text("".join(f"pics/{i}.png annot/{i}.png\n" for i in range(6)), encoding="utf-8")
    (tmp_path / "val.txt").write_text("alias/0.png annot/0.png\npics/7.png annot/7.png\n", encoding="utf-8")
    with pytest.raises(DataError, match="alias/0.png stands in train.txt:1 already; what is trained on cannot be held"):
        open_data(config_for(tmp_path))
