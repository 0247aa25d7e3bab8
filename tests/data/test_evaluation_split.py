"""Examples opened to be scored: a test split, another folder, a list, an object; nothing of it is split again."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from tests.data.making import changed, config_for, make_folder, picture, save
from trainer.data import DataError, open_data, open_evaluated, other_data


def opened(config, path, **fields):
    return open_evaluated(changed(config, **{**vars(other_data(config.data, str(path))), **fields}))


@pytest.fixture
def config(tmp_path):
    """Of a run that was trained on masks of 0 and 255."""
    return open_data(config_for(make_folder(tmp_path / "own", 4), channels=0, mask_encoding="auto")).config


@pytest.mark.parametrize("count", [1, 5])
def test_all_of_a_folder_is_scored(tmp_path, config, count):
    make_folder(tmp_path / "other", count, place="test")
    for path in (tmp_path / "other", tmp_path / "other" / "test"):
        data = opened(config, path)
        assert len(data.validation) == count and data.classes == ("background", "disc")
        image, mask = picture(0)
        np.testing.assert_array_equal(data.validation.load(0).image, image)
        np.testing.assert_array_equal(data.validation.load(0).label, mask // 255)


def test_other_suffixes_and_other_masks_of_two_values(tmp_path, config):
    for number, suffix in enumerate(("PPM", "jfif", "JPG", "Tif")):
        image, mask = picture(number)
        save(tmp_path / "x" / "IMG" / f"{number}.{suffix}", image)
        save(tmp_path / "x" / "GT" / f"{number}.png", mask // 255)
    data = opened(config, tmp_path / "x")
    assert len(data.validation) == 4 and "here it is 1" in data.notes[-1]
    np.testing.assert_array_equal(data.validation.load(0).label, picture(0)[1] // 255)
    # A threshold that divides the masks is kept.
    make_folder(tmp_path / "y", 2)
    assert opened(config, tmp_path / "y", mask_threshold=200).config.data.mask_threshold == 200


def test_splits_are_found_or_asked_about(tmp_path, config):
    for split, count in (("train", 3), ("val", 2)):
        make_folder(tmp_path / "d", count, place=split)
    with pytest.raises(DataError, match=r"(?s)split=validation  # 2 .*split=train       # 3 .*split=all         # 5"):
        opened(config, tmp_path / "d")
    assert len(opened(config, tmp_path / "d", split="all").validation) == 5
    assert len(opened(config, tmp_path / "d", split="validation").validation) == 2
    with pytest.raises(DataError, match=r"no test split .*it holds train \(3\), validation \(2\)"):
        opened(config, tmp_path / "d", split="test")
    make_folder(tmp_path / "d", 4, place="Testing")
    found = opened(config, tmp_path / "d")
    assert len(found.validation) == 4 and "the test split is scored; 5 other" in found.notes[-1]
    own = open_evaluated(changed(config, path=str(tmp_path / "d"), split="test"))
    assert own.validation.names[0] == "Testing/images/000.png"


def test_lists_of_files(tmp_path, config):
    make_folder(tmp_path, 5, place="some where")
    pairs = [f"some where/images/{n:03}.png,some where/masks/{n:03}.png" for n in range(5)]
    (tmp_path / "held.csv").write_text("image,mask\n" + "\n".join(pairs[:3]) + "\n", encoding="utf-8")
    assert len(opened(config, tmp_path / "held.csv").validation) == 3
    (tmp_path / "some where" / "test.txt").write_text("000\n004\n", encoding="utf-8")
    found = opened(config, tmp_path / "some where")
    assert [name[-7:] for name in found.validation.names] == ["000.png", "004.png"]
    # Training leaves them out, with or without lists of its own.
    assert len(open_data(changed(config, path=str(tmp_path / "some where"))).train) == 2
    (tmp_path / "held.csv").write_text("image,mask\nnowhere.png,some where/masks/000.png\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"held.csv:2: the image 'nowhere.png' does not exist"):
        opened(config, tmp_path / "held.csv")


def test_every_fault_of_the_files_is_named(tmp_path, config):
    make_folder(tmp_path / "d", 4)
    Image.fromarray(picture(0)[1][:5]).save(tmp_path / "d" / "masks" / "000.png")
    (tmp_path / "d" / "masks" / "001.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"(?s)2 problem.*000.png: the mask is 32 x 5.*001.png: is empty"):
        opened(config, tmp_path / "d")
    shutil.rmtree(tmp_path / "d" / "masks")
    with pytest.raises(DataError, match="masks/ does not exist"):
        opened(config, tmp_path / "d")


def test_classes_go_by_their_names(tmp_path, config):
    import json

    for folder, names in (("one", ["cat", "dog"]), ("two", ["dog", "cat"])):
        save(tmp_path / folder / "a.png", picture(0)[0])
        save(tmp_path / folder / "b.png", picture(1)[0])
        box = [[1, 1, 9, 1, 9, 9, 1, 9]]
        content = {
            "images": [{"id": n, "file_name": f"{name}.png"} for n, name in enumerate("ab")],
            "categories": [{"id": n + 1, "name": name} for n, name in enumerate(names)],
            "annotations": [
                {"id": n, "image_id": n, "category_id": names.index("dog") + 1, "segmentation": box} for n in range(2)
            ],
        }
        (tmp_path / folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    run = open_data(config_for(tmp_path / "one", source="coco", classes=())).config
    label = opened(run, tmp_path / "two").validation.load(0).label
    assert run.data.classes == ("background", "cat", "dog") and set(np.unique(label)) == {0, 2}
    content["categories"][0]["name"] = "cow"
    (tmp_path / "two" / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match="'cow' is not one of the classes: background, cat, dog"):
        opened(run, tmp_path / "two")


def test_objects(config):
    arrays = np.stack([picture(n)[0] for n in range(3)]), np.stack([picture(n)[1] // 255 for n in range(3)])
    assert len(open_evaluated(config, arrays).validation) == 3
    assert len(open_evaluated(config, {"train": arrays, "test": tuple(a[:1] for a in arrays)}).validation) == 1
    with pytest.raises(DataError, match="images have 1 channels, and the model takes 3"):
        open_evaluated(config, (arrays[0][..., :1], arrays[1]))
