"""Every format that people have: recognised by its path alone, with the right ids; each fault names file and object."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from configs.schema import Augment, Config, Data
from tests.data import format_folders
from tests.data.format_folders import (
    COUNT,
    FOLDERS,
    HEIGHT,
    NAMES,
    SIZE,
    STEMS,
    WIDTH,
    expected,
    image,
    mask,
    number_of,
)
from tests.data.making import save
from trainer.data import DataError, open_data


def read(root, **fields):
    """The data of a folder by its path alone, and the label of each picture by its number."""
    config = Config(
        data=Data(**{"source": "folder", "path": str(root), "channels": 0, **fields}), augment=Augment(crop=(16, 16))
    )
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
    if data.config.data.source != "folder" or name in (
        "voc",
        "camvid",
        "cityscapes",
        "huggingface",
        "yolo",
        "coco_panoptic",
    ):
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
    path.write_text("no picture, and no annotation\n", encoding="utf-8")


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
        (root / stray).write_text("this is no data\n", encoding="utf-8")
    data, labels = read(tmp_path)
    assert data.classes[:3] == made(name)[1][0]
    for number, label in labels.items():
        np.testing.assert_array_equal(label, expected(name, number), err_msg=f"{number}")


def in_json(path, change):
    def apply(root):
        file = root / path.format(STEMS[2])
        content = json.loads(file.read_text(encoding="utf-8"))
        change(content)
        file.write_text(json.dumps(content), encoding="utf-8")

    return apply


def in_text(path, old, new, count=1):
    def apply(root):
        file = root / path.format(STEMS[2])
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new, count), encoding="utf-8")

    return apply


def in_mask(path, value, where=(8, 8)):
    def apply(root):
        file = root / path.format(STEMS[2])
        picture = Image.open(file)
        array = np.array(picture)
        array[where] = value
        again = Image.fromarray(array, mode=picture.mode)
        if picture.mode == "P":
            again.putpalette(picture.getpalette())
        again.save(file)

    return apply


def moved(old, new):
    def apply(root):
        (root / new.format(STEMS[2])).parent.mkdir(parents=True, exist_ok=True)
        (root / old.format(STEMS[2])).rename(root / new.format(STEMS[2]))

    return apply


def copied(old, new):
    def apply(root):
        (root / new.format(STEMS[2])).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / old.format(STEMS[2]), root / new.format(STEMS[2]))

    return apply


def annotation(**fields):
    return in_json("annotations/instances.json", lambda c: c["annotations"][4].update(fields))


def picture_of_coco(**fields):
    return in_json("annotations/instances.json", lambda c: c["images"][2].update(fields))


def shape_of_labelme(**fields):
    return in_json("{}.json", lambda c: c["shapes"][1].update(fields))


def region(number=1, **fields):
    return in_json("project-1.json", lambda c: c[2]["annotations"][0]["result"][number].update(fields))


def value(**fields):
    return in_json("project-1.json", lambda c: c[2]["annotations"][0]["result"][1]["value"].update(fields))


def line_of_yolo(text):
    return lambda root: (root / f"train/labels/{STEMS[2]}.txt").write_text(
        f"0 .1 .1 .9 .1 .9 .9\n{text}\n", encoding="utf-8"
    )


def segment(**fields):
    path = "annotations/panoptic_train2017.json"
    return in_json(path, lambda c: c["annotations"][2]["segments_info"][1].update(fields))


def outside(polygon, by):
    return [[x + by, y + by] for x, y in polygon]


_ADE = "images/ADE/training/urban/street/ADE_train_00000002.json"
_IDS = "leftImg8bit/train/aachen/aachen_000002_000019_leftImg8bit.png"
# Format and what is done to it -> words of the message; "right" where the masks stay as they were; or part of a note.
MUTATIONS = {
    ("voc", "value no class"): (in_mask(format_folders.ANNOTATION["voc"], 77), ["pic 2", "no class: 77 (1 pixels)"]),
    ("voc", "listed twice"): (
        in_text("ImageSets/Segmentation/val.txt", STEMS[4], STEMS[1]),
        ["val.txt:1", "cannot be held"],
    ),
    ("voc", "listed, and not there"): (
        in_text("ImageSets/Segmentation/train.txt", STEMS[1], "gone"),
        ["train.txt:2", "'gone'"],
    ),
    ("voc", "lists with paths"): (
        lambda root: (root / "ImageSets/Segmentation/train.txt").write_text(
            "".join(f"/JPEGImages/{s}.jpg /SegmentationClass/{s}.png\n" for s in STEMS[:4]), encoding="utf-8"
        ),
        "right",
    ),
    ("voc", "blank lines and spaces"): (in_text("ImageSets/Segmentation/train.txt", "\n", "  \n\n", 9), "right"),
    ("voc", "no lists"): (lambda root: shutil.rmtree(root / "ImageSets"), "right"),
    ("voc", "no objects"): (lambda root: shutil.rmtree(root / "SegmentationObject"), "right"),
    ("voc", "VOCdevkit"): (lambda root: nested(root, "VOCdevkit/VOC2012"), "right"),
    ("voc", "a name missing"): (in_text("class_names.txt", NAMES[2] + "\n", ""), ["class_names.txt is not read"]),
    ("voc", "another suffix"): (moved("JPEGImages/{}.jpg", "JPEGImages/{}.JPEG"), "right"),
    ("voc", "two images"): (copied("JPEGImages/{}.jpg", "JPEGImages/{}.png"), ["same stem as JPEGImages/"]),
    ("cvat_voc", "colour no class"): (
        in_mask(format_folders.ANNOTATION["cvat_voc"], (9, 9, 9)),
        ["pic 2", "(9, 9, 9) (1 p"],
    ),
    ("cvat_voc", "three numbers"): (in_text("labelmap.txt", "192,0,128", "192,0"), ["labelmap.txt:3", "three numbers"]),
    ("cvat_voc", "a colour twice"): (in_text("labelmap.txt", "0,128,192", "192,0,128"), ["have the same colour"]),
    ("cvat_voc", "no images"): (lambda root: shutil.rmtree(root / "JPEGImages"), ["JPEGImages/"]),
    ("camvid", "colour no class"): (
        in_mask(format_folders.ANNOTATION["camvid"], (9, 9, 9)),
        ["pic 2", "(9, 9, 9) (1 pixels)"],
    ),
    ("camvid", "no number"): (in_text("class_dict.csv", "192", "red"), ["class_dict.csv:3", "three numbers"]),
    ("camvid", "semicolons"): (in_text("class_dict.csv", ",", ";", 99), "right"),
    ("camvid", "spaces"): (in_text("class_dict.csv", ",", ", ", 99), "right"),
    ("camvid", "a class twice"): (in_text("class_dict.csv", NAMES[2], NAMES[1]), "classes of class_dict.csv"),
    ("segnet", "value no class"): (
        in_mask(format_folders.ANNOTATION["segnet"], 40),
        ["0001TP_000002", "40 (1 pixels)"],
    ),
    ("segnet", "nested"): (lambda root: nested(root, "CamVid"), "right"),
    ("cityscapes", "id no class"): (
        in_mask(format_folders.ANNOTATION["cityscapes"], 200),
        ["aachen_000002", "200 (1 pixels)"],
    ),
    ("cityscapes", "train ids beside"): (
        copied(format_folders.ANNOTATION["cityscapes"], format_folders.ANNOTATION["cityscapes_train"]),
        "right",
    ),
    ("cityscapes", "another city"): (moved(_IDS, _IDS.replace("train/aachen", "train/ulm")), "right"),
    ("cityscapes_train", "id no class"): (
        in_mask(format_folders.ANNOTATION["cityscapes_train"], 30),
        ["aachen_000002", "30 (1 pixels)"],
    ),
    ("ade20k", "value no class"): (
        in_mask(format_folders.ANNOTATION["ade20k"], 151),
        ["ADE_train_00000002", "151 (1 p"],
    ),
    ("ade20k", "no number"): (in_text("objectInfo150.txt", "2\t0.1", "two\t0.1"), ["objectInfo150.txt:3"]),
    ("ade20k", "nested"): (lambda root: nested(root, "ADEChallengeData2016"), "right"),
    ("ade20k_full", "class without a name"): (
        in_mask(format_folders.ANNOTATION["ade20k_full"], (20, 0, 9)),
        ["ADE_train_00000002_seg.png: 1 pixels", "512 (1 pixels)", "ADE_train_00000002.json for"],
    ),
    ("ade20k_full", "no description"): (lambda root: os.remove(root / _ADE), "1 pictures have no description"),
    ("ade20k_full", "no JSON"): (in_text(_ADE, "{", ""), ["ADE_train_00000002.json: is not JSON: line 1"]),
    ("ade20k_full", "no objects"): (in_text(_ADE, '"object"', '"objects"'), ["ADE_train_00000002.json", '"object"']),
    ("ade20k_full", "no number"): (in_text(_ADE, "312", '"a"'), ["ADE_train_00000002.json: object 1", "'a'"]),
    ("ade20k_full", "one object"): (
        in_json(_ADE, lambda c: c["annotation"].update(object=c["annotation"]["object"][0])),
        "right",
    ),
    ("ade20k_full", "two names"): (in_text(_ADE, "true cat", "Katze"), "class 568 is 'cat, true cat' in"),
    ("ade20k_full", "latin-1"): (
        lambda root: (root / _ADE).write_bytes((root / _ADE).read_text(encoding="utf-8").encode("latin-1")),
        "right",
    ),
    ("ade20k_full", "grey mask"): (
        lambda root: save(root / format_folders.ANNOTATION["ade20k_full"], mask(2)),
        ["ADE_train_00000002_seg.png", "no colour image"],
    ),
    ("ade20k_full", "directly in the split"): (
        lambda root: (root / "images/ADE/training/urban/street").rename(root / "training"),
        "right",
    ),
    ("ade20k_counted", "no number"): (
        in_text(_ADE.replace(".json", "_atr.txt"), "002 #", "two #"),
        ["ADE_train_00000002_atr.txt:2"],
    ),
    ("ade20k_counted", "a hidden object"): (
        in_text(_ADE.replace("2.json", "0_atr.txt"), "003 # 0", "009 # 0 # 0 # zebra # zebra # \n003 # 0"),
        "_atr.txt has 4 objects, and its mask 3",
    ),
    ("coco", "unknown category"): (annotation(category_id=9), ["annotation 4", "category 9 is not one"]),
    ("coco", "category as text"): (annotation(category_id="1"), "right"),
    ("coco", "ids as fractions"): (annotation(category_id=1.0, image_id=2.0), "right"),
    ("coco", "unknown image"): (annotation(image_id=77), ["annotation 4", "image 77"]),
    ("coco", "no segmentation"): (annotation(segmentation=None), ["annotation 4", "no segmentation"]),
    ("coco", "two points"): (annotation(segmentation=[[1, 2, 3, 4]]), ["annotation 4", "three points"]),
    ("coco", "odd numbers"): (annotation(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), ["annotation 4", "three points"]),
    ("coco", "far away"): (annotation(segmentation=[[1e12, 2, 3, 4, 5, 6]]), ["annotation 4", "1e+12"]),
    ("coco", "outside"): (annotation(segmentation=[[90, 90, 99, 90, 99, 99]]), ["annotation 4", "outside the image"]),
    ("coco", "id twice"): (annotation(id=3), "right"),
    ("coco", "image twice"): (
        in_json("annotations/instances.json", lambda c: c["images"].append(dict(c["images"][2]))),
        ["image id 2 occurs twice"],
    ),
    ("coco", "another size"): (picture_of_coco(height=99), ["pic 2", "36 x 24", "36 x 99"]),
    ("coco", "size no number"): (picture_of_coco(height="tall"), ["image 2", "no whole numbers"]),
    ("coco", "no size"): (picture_of_coco(height=None), "right"),
    ("coco", "path of another machine"): (picture_of_coco(file_name=f"C:\\data\\{STEMS[2]}.jpg"), "right"),
    ("coco", "decomposed name"): (picture_of_coco(file_name="pic 2_a\u0308.jpg"), "right"),
    ("coco", "no annotation of it"): (
        in_json(
            "annotations/instances.json",
            lambda c: c.update(annotations=[a for a in c["annotations"] if a["image_id"] != 2]),
        ),
        "empty",
    ),
    ("coco", "no categories"): (
        in_json("annotations/instances.json", lambda c: c.update(categories=[])),
        ["no categories"],
    ),
    ("coco", "no objects of JSON"): (
        in_json("annotations/instances.json", lambda c: c["annotations"].append(3)),
        ["annotations[12]"],
    ),
    ("coco", "nested"): (lambda root: nested(root, "a/b"), "right"),
    ("coco", "masks beside"): (
        lambda root: [save(root / f"masks/{stem}.png", mask(n)) for n, stem in enumerate(STEMS)],
        ["2 ways", "--config.data.source=coco", "--config.data.source=pairs"],
    ),
    ("coco_rle", "short runs"): (
        annotation(segmentation={"size": list(SIZE), "counts": [3, 4]}),
        ["annotation 4", "7 pixels"],
    ),
    ("coco_rle", "another size"): (
        annotation(segmentation={"size": [9, 9], "counts": [81]}),
        ["annotation 4", "[9, 9]"],
    ),
    ("coco_rle", "damaged"): (
        annotation(segmentation={"size": list(SIZE), "counts": "o0o0"}),
        ["annotation 4", "run lengths"],
    ),
    ("coco_rle", "no numbers"): (
        annotation(segmentation={"size": list(SIZE), "counts": ["a"]}),
        ["annotation 4", "whole num"],
    ),
    ("coco_panoptic", "unknown segment"): (segment(id=999), ["pic 2", "300 ("]),
    ("coco_panoptic", "unknown category"): (segment(category_id=99), ["image 2: segment 300", "category 99"]),
    ("coco_panoptic", "segment twice"): (segment(id=70000), ["image 2: segment 70000 occurs twice"]),
    ("coco_panoptic", "image twice"): (
        in_json("annotations/panoptic_train2017.json", lambda c: c["annotations"].append(c["annotations"][2])),
        ["image 2 occurs twice"],
    ),
    ("labelme", "new label"): (shape_of_labelme(label="zebra"), "zebra"),
    ("labelme", "case"): (shape_of_labelme(label="Cat"), "'Cat' and 'cat' are classes of their own"),
    ("labelme", "two points"): (shape_of_labelme(points=[[1, 2]]), ["pic 2", "shape 1", "three points"]),
    ("labelme", "no numbers"): (shape_of_labelme(points=[["a", "b"]] * 3), ["pic 2", "shape 1", "of numbers"]),
    ("labelme", "a line"): (shape_of_labelme(shape_type="line"), "drawn 10 pixels wide"),
    ("labelme", "a cube"): (shape_of_labelme(shape_type="cube"), ["pic 2", "shape 1", "'cube' is not one"]),
    ("labelme", "outside"): (
        shape_of_labelme(points=outside(format_folders.outlines(2)[1][1], 99)),
        ["pic 2", "shape 1", "outside"],
    ),
    ("labelme", "no shapes"): (in_json("{}.json", lambda c: c.update(shapes=[])), "empty"),
    ("labelme", "another size"): (in_json("{}.json", lambda c: c.update(imageWidth=9)), ["pic 2", "9 x 24"]),
    ("labelme", "path of another machine"): (
        in_json("{}.json", lambda c: c.update(imagePath="..\\raw\\" + c["imagePath"])),
        "right",
    ),
    ("labelme_masks", "damaged mask"): (shape_of_labelme(mask="AAAA"), ["pic 2", "shape 1", "does not decode"]),
    ("labelme_masks", "mask outside"): (
        shape_of_labelme(points=[[30, 20], [40, 30]]),
        ["pic 2", "not inside the image"],
    ),
    ("label_studio", "two points"): (value(points=[[1, 2]]), ["task 3: region r2", "three points"]),
    ("label_studio", "turned"): (region(image_rotation=90), ["task 3: region r2", "90 degrees"]),
    ("label_studio", "two labels"): (value(polygonlabels=list(NAMES)), ["task 3: region r2", "has 3 labels"]),
    ("label_studio", "no size"): (region(original_width=None), ["task 3: region r2", "original_width"]),
    ("label_studio", "a choice, too"): (
        in_json(
            "project-1.json",
            lambda c: c[2]["annotations"][0]["result"].append({"type": "choices", "value": {"choices": ["x"]}}),
        ),
        "right",
    ),
    ("label_studio", "a cancelled annotation, too"): (
        in_json("project-1.json", lambda c: c[2]["annotations"].append({"result": [], "was_cancelled": True})),
        "right",
    ),
    ("label_studio", "task twice"): (in_json("project-1.json", lambda c: c.append(c[2])), ["task 3 occurs twice"]),
    ("label_studio", "local file"): (
        in_json(
            "project-1.json",
            lambda c: c[2].update(data={"image": f"/data/local-files/?d=images/00000002-{STEMS[2]}.jpg"}),
        ),
        "right",
    ),
    ("label_studio", "no upload's prefix"): (moved("images/00000002-{}.jpg", "images/{}.jpg"), "right"),
    ("label_studio", "JSON-MIN"): (
        lambda root: in_json(
            "project-1.json",
            lambda c: c.__setitem__(
                slice(None),
                [
                    {
                        "id": t["id"],
                        "image": t["data"]["image"],
                        "label": [{**r, **r["value"]} for r in t["annotations"][0]["result"]],
                    }
                    for t in c
                ],
            ),
        )(root),
        "right",
    ),
    ("label_studio_brush", "cut"): (in_json("project-1.json", lambda c: halved(c[2])), ["task 3: region r2", "rle"]),
    ("label_studio_brush", "another size"): (region(original_width=35), ["task 3: region r2", "values"]),
    ("cvat", "unknown label"): (
        in_text("annotations.xml", f'label="{NAMES[1]}"', 'label="cow"'),
        ["polygon 1", "'cow' is not one"],
    ),
    ("cvat", "two points"): (
        in_text("annotations.xml", 'points="12.5,1.5;', 'points="1,1;2,2" was="'),
        ["image 0", "three points"],
    ),
    ("cvat", "no numbers"): (in_text("annotations.xml", "12.5,1.5", "a,b"), ["image 0", "polygon 0", "of numbers"]),
    ("cvat", "id twice"): (in_text("annotations.xml", '<image id="3"', '<image id="2"'), ["image 2", "occurs twice"]),
    ("cvat", "another size"): (in_text("annotations.xml", 'width="36"', 'width="99"'), ["pic 0", "99 x 24"]),
    ("cvat", "a polyline"): (in_text("annotations.xml", "<polygon", "<polyline"), ["image 0", "polyline 0", "no area"]),
    ("cvat", "video"): (in_text("annotations.xml", "<image", '<track id="0"/><image'), ["CVAT for video"]),
    ("cvat", "entities"): (
        in_text("annotations.xml", "<annotations>", '<!DOCTYPE x [<!ENTITY a "b">]><annotations>'),
        ["entities"],
    ),
    ("cvat_masks", "short runs"): (
        in_text("annotations.xml", 'rle="', 'rle="3, '),
        ["image 0", "mask 0", "run lengths"],
    ),
    ("cvat_masks", "outside"): (
        in_text("annotations.xml", 'left="0"', 'left="9"'),
        ["image 0", "mask 0", "not inside the image"],
    ),
    ("yolo", "unknown class"): (
        line_of_yolo("7 .1 .1 .2 .2 .3 .1"),
        ["pic 2_ä.txt:2", "its class 7 is not one of 0 … 1"],
    ),
    ("yolo", "class as a fraction"): (line_of_yolo("0.5 .1 .1 .2 .2 .3 .1"), ["pic 2_ä.txt:2", "class 0.5"]),
    ("yolo", "a box"): (line_of_yolo("0 .5 .5 .2 .2"), ["pic 2_ä.txt:2", "boxes are no masks"]),
    ("yolo", "pixels"): (line_of_yolo("0 10 10 20 20 30 10"), ["pic 2_ä.txt:2", "from 0 to 1. Received: 10"]),
    ("yolo", "odd numbers"): (line_of_yolo("0 .1 .1 .2 .2 .3 .1 .4"), ["pic 2_ä.txt:2", "three points"]),
    ("yolo", "words"): (line_of_yolo("cat .1 .1 .2 .2 .3 .1"), ["pic 2_ä.txt:2", "of numbers"]),
    ("yolo", "not finite"): (line_of_yolo("0 .1 .1 nan .2 .3 .1"), ["pic 2_ä.txt:2", "Received: nan"]),
    ("yolo", "names by number"): (
        lambda root: (root / "data.yaml").write_text(
            f"path: .\ntrain: train/images\nval: valid/images\nnames:\n  0: {NAMES[1]}\n  1: {NAMES[2]}\n",
            encoding="utf-8",
        ),
        "right",
    ),
    ("yolo", "no names"): (in_text("data.yaml", "names:", "nomes:"), ["no data.yaml or classes.txt that names"]),
    ("yolo", "labels alone"): (
        copied("train/labels/{}.txt", "train/labels/other.txt"),
        ["1 files of labels without an image"],
    ),
    ("nnunet", "value no class"): (in_mask(format_folders.ANNOTATION["nnunet"], 9), ["case_002", "9 (1 pixels)"]),
    ("nnunet", "another ending"): (in_text("dataset.json", '".png"', '".tif"'), ["case_000", "file_ending"]),
    ("nnunet", "no region"): (
        in_json("dataset.json", lambda c: c["labels"].update(whole=[])),
        ["dataset.json: labels: 'whole'", "an id, or several"],
    ),
    ("nnunet", "regions in no order"): (
        in_json("dataset.json", lambda c: c.update(labels={"whole": [1, 2], "core": 2}, regions_class_order=[1])),
        ["dataset.json: regions_class_order", "each of whole, core", "[1]"],
    ),
    ("nnunet", "regions without an id"): (
        in_json("dataset.json", lambda c: c.update(labels={"whole": [1, 9], "core": 1, "ignore": 3})),
        ["case_00", "values of no class: 2 ("],
    ),
    ("nnunet", "an id twice"): (
        in_json("dataset.json", lambda c: c["labels"].update(more=1)),
        ["'more' and 'cat' are both 1"],
    ),
    ("nnunet", "ids as fractions"): (
        in_json("dataset.json", lambda c: c["labels"].update(more=1.5)),
        ["'more'", "1.5"],
    ),
    ("nnunet", "first version"): (
        in_json(
            "dataset.json",
            lambda c: c.update(
                modality=c.pop("channel_names"), labels={"0": NAMES[0], "1": NAMES[1], "2": NAMES[2], "3": "ignore"}
            ),
        ),
        "right",
    ),
    ("nnunet", "folds"): (
        lambda root: (root / "splits_final.json").write_text(
            json.dumps([{"train": [f"case_{n:03}" for n in range(4)], "val": ["case_004", "case_009"]}]),
            encoding="utf-8",
        ),
        ["splits_final.json", "case_009"],
    ),
    ("nnunet_channels", "a channel too many"): (
        copied("imagesTr/case_002_0001.png", "imagesTr/case_002_0002.png"),
        ["case_002"],
    ),
    ("masks_beside", "value no class"): (
        in_mask(format_folders.ANNOTATION["masks_beside"], 9),
        ["pic 2", "9 (1 pixels)"],
    ),
    ("masks_beside", "tables differ"): (in_text("valid/_classes.csv", NAMES[1], "dog"), ["tables of classes differ"]),
    ("supervisely", "unknown class"): (
        in_json("ds/ann/{}.jpg.json", lambda c: c["objects"][1].update(classTitle="cow")),
        ["pic 2", "object 1 ('cow')"],
    ),
    ("supervisely", "damaged"): (
        in_json("ds/ann/{}.jpg.json", lambda c: c["objects"][1]["bitmap"].update(data="AAAA")),
        ["pic 2", "object 1", "does not decode"],
    ),
    ("supervisely", "outside"): (
        in_json("ds/ann/{}.jpg.json", lambda c: c["objects"][1]["bitmap"].update(origin=[9, 9])),
        ["pic 2", "object 1", "not inside the image"],
    ),
    ("via", "no attribute"): (
        in_json("via_region_data.json", lambda c: list(c.values())[2]["regions"][1].update(region_attributes={})),
        ["pic 2", "region 1", "no attribute 'class'"],
    ),
    ("via", "uneven"): (
        in_json(
            "via_region_data.json",
            lambda c: list(c.values())[2]["regions"][1]["shape_attributes"]["all_points_x"].pop(),
        ),
        ["pic 2", "region 1", "of one length"],
    ),
    ("huggingface", "unknown column"): (
        lambda root: {"mask_key": "other"},
        ["data.mask_key='other'", "image, annotation"],
    ),
    ("huggingface", "a shard missing"): (
        moved("data/train-00000-of-00001.parquet", "data/train-00000-of-00002.parquet"),
        ["train", "1 of 2 files are missing"],
    ),
    ("colored_folder", "a colour more"): (
        in_mask(format_folders.ANNOTATION["colored_folder"], (9, 9, 9)),
        ["pic 2", "(9, 9, 9)"],
    ),
    ("colored_folder", "other colours"): (
        in_text("label_colors.txt", "64 128 64", "64 128"),
        ["label_colors.txt:1", "64 128"],
    ),
}


def nested(root, below):
    inside = [path for path in root.iterdir()]
    (root / below).mkdir(parents=True)
    for path in inside:
        path.rename(root / below / path.name)


def halved(task):
    code = task["annotations"][0]["result"][1]["value"]["rle"]
    del code[len(code) // 2 :]


@pytest.mark.parametrize(("name", "fault"), MUTATIONS)
def test_a_mutation_ends_in_one_message_or_the_right_mask(name, fault, made, tmp_path):
    change, outcome = MUTATIONS[name, fault]
    root = shutil.copytree(made(name)[0], tmp_path / "data")
    fields = change(root)
    fields = fields if isinstance(fields, dict) else {}
    if isinstance(outcome, list):
        try:
            data, _ = read(root, **fields)
            text = "\n".join(data.notes)
            assert "is not read" in outcome[0], text
        except DataError as error:
            text = str(error)
            assert "Traceback" not in text and len(re.findall(r"^\s*\d+\. ", text, re.M)) in (0, 2)
        for words in outcome:
            assert words in text, text
        return
    data, labels = read(root, **fields)
    if outcome == "empty":
        assert not labels[2].any()
        del labels[2]
    elif outcome == "zebra":
        assert data.classes == (*NAMES, "zebra") and set(np.unique(labels[2])) == {0, 1, 3}
        return
    elif outcome != "right":
        assert any(outcome in note for note in data.notes)
        return
    assert sorted(labels) == [n for n in range(COUNT) if n in labels] and len(labels) >= COUNT - 1
    for number, label in labels.items():
        np.testing.assert_array_equal(label, expected(name, number), err_msg=f"{number}")


def test_shapes_that_overlap_are_planes(made):
    root, _ = made("coco")
    data, labels = read(root, labels="multi")
    assert data.classes == NAMES[1:] and data.features["label"].shape == (2,)
    from pycocotools import mask as masks

    for class_id, points in format_folders.outlines(2):
        flat = [number for point in points for number in point]
        alone = masks.decode(masks.frPyObjects([flat], *SIZE))[:, :, 0]
        np.testing.assert_array_equal(labels[2][:, :, class_id - 1], alone)


def test_regions_of_nnunet_are_classes_that_overlap(tmp_path):
    format_folders.nnunet_regions(tmp_path)
    data, labels = read(tmp_path)
    assert data.classes == ("core", "whole") and data.config.data.multi_label
    for number, label in labels.items():
        ids = mask(number)
        planes = np.stack([ids == 2, (ids == 1) | (ids == 2)], axis=2).astype(np.uint8)
        planes[ids == 255] = 255
        np.testing.assert_array_equal(label, planes)
    assert any("core 2, whole 1" in note for note in data.notes)
    again = open_data(data.config)
    assert again.classes == data.classes
    # Predictions are written as nnU-Net writes them: the last in the order lies on top.
    from trainer.prediction.overlapping import write_overlapping

    planes = np.array([[[0, 0], [1, 1], [0, 1], [1, 0]]], np.uint8)
    for order, expected_ids in (((2, 1), [0, 1, 1, 2]), ((), None)):
        section = dataclasses.replace(data.config.data, region_values=order)
        paths = write_overlapping(str(tmp_path / f"out{len(order)}"), "a", planes, section)
        assert len(paths) == (1 if order else 2)
        if order:
            np.testing.assert_array_equal(np.array(Image.open(paths[0])), [expected_ids])
    with pytest.raises(DataError, match=r"regions that overlap \(whole \[1, 2\]\): leave data.labels=exclusive out"):
        read(tmp_path, labels="exclusive")
    # The same of any masks of ids: the config says what they unite.
    for n, stem in enumerate(STEMS):
        save(tmp_path / f"plain/images/{stem}.jpg", image(n))
        save(tmp_path / f"plain/masks/{stem}.png", mask(n))
    table = ((1, 0), (2, 0), (2, 1), (255, 255))
    data, labels = read(tmp_path / "plain", mask_encoding="regions", mask_ids=table)
    assert data.classes == ("class_0", "class_1") and set(np.unique(labels[2])) == {0, 1, 255}
    np.testing.assert_array_equal(labels[2][:, :, 1] == 1, mask(2) == 2)


def test_the_255th_of_many_classes_is_not_void(tmp_path):
    format_folders.ade20k_full(tmp_path)
    many = [{"name": f"thing {n}", "name_ndx": 1000 + n, "parts": {"part_level": 0}} for n in range(300)]
    in_json(_ADE, lambda content: content["annotation"]["object"].extend(many))(tmp_path)
    # Class 255 of 303: background, cat, and 253 things before it.
    in_mask(format_folders.ANNOTATION["ade20k_full"], (40, 1253 - 1024, 9), where=(8, 8))(tmp_path)
    data, labels = read(tmp_path)
    assert (data.classes[255], data.void_id, data.config.data.void_id) == ("thing 253", 65535, 65535)
    assert labels[2][8, 8] == 255 and (labels[2][:3, :4] == 65535).all()
    assert any("255 is the id of 'thing 253'" in note for note in data.notes)
    with pytest.raises(DataError, match="data.void_id=7 is the id of 'thing 5'"):
        read(tmp_path, void_id=7)


def test_folders_as_they_are_exported(made, tmp_path):
    # Roboflow heads its categories with one of the project's name.
    root = shutil.copytree(made("coco")[0], tmp_path / "roboflow")
    content = json.loads((root / "annotations/instances.json").read_text(encoding="utf-8"))
    content["categories"].insert(0, {"id": 0, "name": "animals", "supercategory": "none"})
    for category in content["categories"][1:]:
        category["supercategory"] = "animals"
    for split, numbers in (("train", range(4)), ("valid", (4,)), ("test", (5,))):
        part = {**content, "images": [content["images"][n] for n in numbers]}
        part["annotations"] = [a for a in content["annotations"] if a["image_id"] in numbers]
        format_folders.write(root / split / "_annotations.coco.json", part)
        for number in numbers:
            (root / f"images/{STEMS[number]}.jpg").rename(root / f"{split}/{STEMS[number]}.jpg")
    shutil.rmtree(root / "annotations")
    data, labels = read(root)
    assert data.classes == NAMES and (len(data.train), len(data.validation)) == (4, 1)
    assert any("only heads others" in note for note in data.notes)
    assert any("1 images of a test split" in note for note in data.notes)
    # COCO's own folder: captions hold no masks, and panoptic is another reading of the same photographs.
    root = shutil.copytree(made("coco_panoptic")[0], tmp_path / "whole")
    for split in ("train", "val"):
        content = json.loads((root / f"annotations/panoptic_{split}2017.json").read_text(encoding="utf-8"))
        format_folders.write(root / f"annotations/captions_{split}2017.json", {**content, "annotations": []})
    data, labels = read(root)
    np.testing.assert_array_equal(labels[2], expected("coco_panoptic", 2))
    for split in ("train", "val"):
        format_folders.write(
            root / f"annotations/instances_{split}2017.json", {**content, "annotations": [], "licenses": []}
        )
    with pytest.raises(DataError, match=r"(?s)in 2 ways.*source=coco .*source=coco_panoptic"):
        read(root)


def test_what_is_meant_can_be_said(made, tmp_path):
    root, _ = made("cityscapes")
    data, labels = read(root, source="pairs", mask_encoding="ids", mask_ids=((0, 255), (7, 0), (8, 1), (11, 2)))
    np.testing.assert_array_equal(labels[2], expected("cityscapes", 2))
    data, labels = read(made("coco")[0], classes=("background", NAMES[2], NAMES[1]))
    swapped = np.array([0, 2, 1])[expected("coco", 2)]
    np.testing.assert_array_equal(labels[2], swapped)
    with pytest.raises(
        DataError, match=r"annotation 1: its category 'dög ß' is not one of the classes: background, cat\."
    ):
        read(made("coco")[0], classes=NAMES[:2])
    with pytest.raises(DataError, match=r"--config.data.classes=background,cat,dög ß"):
        read(made("coco")[0], classes=NAMES[1:])
    with pytest.raises(DataError, match=r"does not name dög ß"):
        read(made("camvid")[0], classes=NAMES[:2])
    data, _ = read(made("nnunet")[0])
    assert (len(data.train), len(data.validation)) == (5, 1)
    assert any("2 images of a test split" in note for note in data.notes)
    with pytest.raises(DataError, match="has no SegmentationClass/"):
        read(made("coco")[0], source="voc")


def test_void_of_several_values_is_named_once():
    from trainer.data.sources.formats.mask_files import void_note

    note = void_note([((0, 0, 0), "Void"), ((9, 9, 9), "Void"), ((1, 2, 3), "road"), ((5, 5, 5), "ignore")])
    assert note == ["void, which no loss or score counts: 'Void' ((0, 0, 0), (9, 9, 9)), 'ignore' ((5, 5, 5))"]
    assert void_note([((1, 2, 3), "road")]) == []
