"""COCO and LabelMe: the pixels that their own libraries draw, from the path alone; each fault names file and object."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.data.making import config_for, picture, save
from trainer.data import DataError, open_data

COUNT, SIZE = 8, (40, 56)
SQUARE, TRIANGLE = [4.2, 5.1, 30.7, 5.1, 30.7, 28.4, 4.2, 28.4], [20, 10, 50.5, 14.3, 33.3, 38.9]


def coco(root, change=lambda content: None, place="annotations/instances.json", images="pictures"):
    categories = [{"id": 7, "name": "cell"}, {"id": 3, "name": "nucleus ß"}]
    content = {"images": [], "annotations": [], "categories": categories}
    for number in range(COUNT):
        save(root / images / f"ä {number}.png", picture(number, SIZE)[0])
        content["images"].append({"id": 100 + number, "file_name": f"ä {number}.png", "height": 40, "width": 56})
        rle = {"size": [40, 56], "counts": [41 + number, 30, 40 * 56 - 71 - number]}
        for offset, (category, shape) in enumerate(((7, [SQUARE]), (3, [TRIANGLE]), (7, rle))):
            content["annotations"].append(
                {"id": 10 * number + offset, "image_id": 100 + number, "category_id": category, "segmentation": shape}
            )
    change(content)
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_text(json.dumps(content), encoding="utf-8")
    return root


def labels(config):
    data = open_data(config)
    return data, {s.names[i]: s.load(i).label for s in (data.train, data.validation) for i in range(len(s))}


def test_coco_is_recognised_and_drawn_as_pycocotools_draws_it(tmp_path):
    mask = pytest.importorskip("pycocotools.mask")
    data, found = labels(config_for(coco(tmp_path), classes=()))
    assert data.classes == ("background", "nucleus ß", "cell") and len(found) == COUNT
    assert any("recognised: COCO" in note for note in data.notes)
    for number in range(COUNT):
        expected = np.zeros(SIZE, int)
        for polygon, class_id in ((SQUARE, 2), (TRIANGLE, 1)):
            expected[mask.decode(mask.frPyObjects([polygon], *SIZE))[:, :, 0] > 0] = class_id
        rle = mask.frPyObjects({"size": list(SIZE), "counts": [41 + number, 30, 40 * 56 - 71 - number]}, *SIZE)
        expected[mask.decode(rle) > 0] = 2
        np.testing.assert_array_equal(found[f"pictures/ä {number}.png"], expected)
        packed = {"size": list(SIZE), "counts": rle["counts"].decode()}

        def pack(content, packed=packed):
            content["annotations"] = [dict(content["annotations"][0], segmentation=packed, image_id=100)]

        _, again = labels(config_for(coco(tmp_path / f"p{number}", pack), classes=()))
        np.testing.assert_array_equal(again["pictures/ä 0.png"] > 0, mask.decode(rle) > 0)


def test_coco_splits_are_those_of_its_files(tmp_path):
    coco(tmp_path, place="annotations/instances_train2017.json", images="train2017")
    coco(tmp_path, place="annotations/instances_val2017.json", images="val2017")
    data = open_data(config_for(tmp_path, classes=()))
    assert (len(data.train), len(data.validation)) == (COUNT, COUNT)
    assert data.train.names[0].startswith("train2017/") and data.validation.names[0].startswith("val2017/")
    roboflow = tmp_path / "roboflow"
    for split in ("train", "valid"):
        coco(roboflow, place=f"{split}/_annotations.coco.json", images=split)
    assert len(open_data(config_for(roboflow, classes=())).validation) == COUNT


def item(content, **fields):
    content["annotations"][4].update(fields)


FAULTS = {
    "unknown category": (lambda c: item(c, category_id=9), ["annotation 11", "category 9 is none"]),
    "unknown image": (lambda c: item(c, image_id=1), ["annotation 11", "image 1, which is not in the list"]),
    "box alone": (lambda c: item(c, segmentation=[], bbox=[1, 2, 3, 4]), ["annotation 11", "boxes are no masks"]),
    "two points": (lambda c: item(c, segmentation=[[1, 2, 3, 4]]), ["annotation 11", "three points (x, y) or more"]),
    "text": (lambda c: item(c, segmentation=[["a"] * 6]), ["annotation 11", "of numbers"]),
    "not a number": (lambda c: item(c, segmentation=[[float("nan")] * 6]), ["annotation 11", "of numbers"]),
    "short runs": (
        lambda c: item(c, segmentation={"size": [40, 56], "counts": [3, 4]}),
        ["annotation 11", "7 pixels", "2240"],
    ),
    "missing image": (lambda c: c["images"][2].update(file_name="gone.png"), ["'gone.png' (id 102) is not below"]),
    "another size": (lambda c: c["images"][2].update(width=50), ["ä 2.png: is 56 x 40 pixels", "50 x 40"]),
    "twice": (lambda c: c["images"].append(dict(c["images"][0])), ["image id 100 occurs twice"]),
    "no categories": (lambda c: c.update(categories=[]), ["name no categories"]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_coco_names_file_and_object(name, tmp_path):
    change, says = FAULTS[name]
    with pytest.raises(DataError) as caught:
        labels(config_for(coco(tmp_path, change), classes=()))
    for words in says:
        assert words in str(caught.value), str(caught.value)


def test_outside_and_empty_are_drawn_as_they_are(tmp_path):
    def outside(content):
        item(content, segmentation=[[-20, -20, 10, -20, 10, 10, -20, 10]])
        content["annotations"] = [a for a in content["annotations"] if a["image_id"] != 103]

    _, found = labels(config_for(coco(tmp_path, outside), classes=()))
    assert not found["pictures/ä 3.png"].any() and found["pictures/ä 1.png"][:10, :10].any()


def labelme(root, change=lambda content: None, suffix=".png"):
    for number in range(COUNT):
        save(root / f"{number}{suffix}", picture(number, SIZE)[0])
        points = np.reshape(TRIANGLE, (-1, 2)) - number
        content = {
            "imagePath": f"{number}{suffix}",
            "imageData": None,
            "imageHeight": 40,
            "imageWidth": 56,
            "shapes": [
                {"label": "dog", "points": points.tolist(), "shape_type": "polygon"},
                {"label": "cat", "points": [[3, 4], [12, 9]], "shape_type": "rectangle"},
            ],
        }
        if number == 2:
            change(content)
        (root / f"{number}.json").write_text(json.dumps(content), encoding="utf-8")
    return root


def test_labelme_names_of_images_may_be_missing(tmp_path):
    root = labelme(tmp_path, lambda content: content.pop("imagePath"))
    (root / "2.png").rename(root / "2.PNG")
    assert "2.PNG" in labels(config_for(root, classes=()))[1]


def test_labelme_is_recognised_and_drawn_as_it_draws(tmp_path):
    data, found = labels(config_for(labelme(tmp_path), classes=()))
    assert data.classes == ("background", "cat", "dog") and any("LabelMe" in note for note in data.notes)
    for number in range(COUNT):
        drawn = Image.new("L", SIZE[::-1])
        points = np.reshape(TRIANGLE, (-1, 2)) - number
        ImageDraw.Draw(drawn).polygon([tuple(p) for p in points.tolist()], outline=2, fill=2)
        ImageDraw.Draw(drawn).rectangle([3, 4, 12, 9], outline=1, fill=1)
        np.testing.assert_array_equal(found[f"{number}.png"], np.asarray(drawn))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c["shapes"][0].update(points=[[1, 2]]), ["2.json: shape 0 ('dog')", "three points"]),
        (lambda c: c["shapes"][1].update(shape_type="cube"), ["2.json: shape 1 ('cat')", "'cube' is none"]),
        (lambda c: c["shapes"][1].update(shape_type="line", points=[[1, 2]]), ["2.json: shape 1", "two points"]),
        (lambda c: c["shapes"][1].update(shape_type="point", points=[]), ["2.json: shape 1", "one point"]),
        (lambda c: c.update(imageWidth=9), ["2.png: is 56 x 40", "9 x 40"]),
        (lambda c: c.pop("shapes"), ["2.json: is not LabelMe's"]),
    ],
)
def test_a_fault_in_labelme_names_file_and_object(change, says, tmp_path):
    with pytest.raises(DataError) as caught:
        labels(config_for(labelme(tmp_path, change), classes=()))
    for words in says:
        assert words in str(caught.value), str(caught.value)


def test_lines_and_points_are_drawn_as_labelme_draws_them(tmp_path):
    def thin(content):
        content["shapes"] = [
            {"label": "cat", "shape_type": "linestrip", "points": [[2, 3], [20, 9], [30.4, 30]]},
            {"label": "dog", "shape_type": "point", "points": [[40, 20.5]]},
            {"label": "dog", "shape_type": "line", "points": [[0, 38], [12, 30]]},
        ]

    data, found = labels(config_for(labelme(tmp_path, thin), classes=()))
    drawn = Image.new("L", SIZE[::-1])
    ImageDraw.Draw(drawn).line([(2, 3), (20, 9), (30.4, 30)], fill=1, width=10)
    ImageDraw.Draw(drawn).ellipse([(35, 15.5), (45, 25.5)], outline=2, fill=2)
    ImageDraw.Draw(drawn).line([(0, 38), (12, 30)], fill=2, width=10)
    np.testing.assert_array_equal(found["2.png"], np.asarray(drawn))
    assert any("lines and points, which have no area (3), are drawn 10 pixels wide" in note for note in data.notes)


def test_json_that_is_cut_off_names_the_line(tmp_path):
    path = labelme(tmp_path) / "4.json"
    path.write_text(path.read_text(encoding="utf-8")[:100], encoding="utf-8")
    with pytest.raises(DataError, match=r"4.json: is not JSON: line 1"):
        labels(config_for(tmp_path, classes=()))
