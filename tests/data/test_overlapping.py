"""Classes that overlap: every form in files, what is ambiguous, and their way into a batch."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from configs.schema import Augment, Config, Data, Train
from trainer.data import DataError, check_data, evaluation_batches, open_data, training_batches
from trainer.data.augment.placement import draw, over_foreground
from trainer.prediction.overlapping import write_overlapping
from trainer.reporting.panels import colored, overlay

NAMES = ("kidney", "tumour", "vessel")


def planes_of(number: int, *, overlap: bool = True) -> np.ndarray:
    """0 and 1, `[12, 16, 3]`: the tumour within the kidney, the vessel beside both or across."""
    planes = np.zeros((12, 16, 3), np.uint8)
    planes[2:9, 2:9, 0] = 1
    planes[(4 if overlap else 9) : 11, 3 + number : 7 + number, 1] = 1
    planes[: 2 if not overlap else 6, 10:14, 2] = 1
    if not overlap:
        planes[:, :, 1] *= 1 - planes[:, :, 0]
    return planes


def image_of(number: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (12, 16, 3), np.uint8))


def save(picture: Image.Image, path, **how) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **how)


def write(root, form: str, overlap: bool = True, count: int = 4) -> None:
    for number in range(count):
        planes = planes_of(number, overlap=overlap)
        save(image_of(number), root / "images" / f"case_{number}.png")
        full = [Image.fromarray(planes[:, :, k] * 255) for k in range(3)]
        masks = root / "masks"
        for name, picture in zip(NAMES, full, strict=True):
            if form == "folders":
                save(picture, masks / name / f"case_{number}.png")
            elif form == "behind":
                save(picture, masks / f"case_{number}_{name}.png")
            elif form == "before":
                save(picture, masks / f"{name}-case_{number}.png")
            elif form == "of each image":
                save(picture, masks / f"case_{number}" / f"{name}.PNG")
        if form == "bits":
            values = (planes << np.arange(3)).sum(axis=2).astype(np.uint8)
            save(Image.fromarray(values), masks / f"case_{number}.png")
        elif form == "channels":
            save(Image.merge("RGB", full), masks / f"case_{number}.png")
        elif form == "pages":
            save(full[0], root / "masks" / f"case_{number}.tif", save_all=True, append_images=full[1:])


def config_of(root, **fields) -> Config:
    data = Data(source="folder", path=str(root), **fields)
    return Config(data=data, augment=Augment(crop=(8, 8)), train=Train(batch_size=2))


def labels_of(root, **fields) -> dict[str, np.ndarray]:
    data = open_data(config_of(root, **fields))
    assert data.config.data.multi_label and data.classes == NAMES
    return {
        source.names[index]: source.load(index).label
        for source in (data.train, data.validation)
        for index in range(len(source))
    }


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        ("folders", {}),
        ("behind", {}),
        ("before", {"classes": NAMES}),
        ("of each image", {}),
        ("bits", {"classes": NAMES, "mask_encoding": "bits"}),
        ("bits", {"classes": NAMES, "labels": "multi"}),
        ("channels", {"classes": NAMES, "mask_encoding": "planes"}),
        ("channels", {"classes": NAMES, "labels": "multi"}),
        ("pages", {"classes": NAMES, "mask_encoding": "planes"}),
        ("pages", {"classes": NAMES, "labels": "multi"}),
    ],
)
def test_forms_of_files(tmp_path, form, fields):
    write(tmp_path, form)
    labels = labels_of(tmp_path, **fields)
    assert len(labels) == 4
    for number in range(4):
        np.testing.assert_array_equal(labels[f"images/case_{number}.png"], planes_of(number))


@pytest.mark.parametrize(("form", "encoding"), [("folders", "files"), ("bits", "bits"), ("channels", "planes")])
def test_predictions_are_written_as_masks_are_read(tmp_path, form, encoding):
    write(tmp_path, form)
    fields = {"classes": NAMES, "mask_encoding": encoding}
    again = tmp_path / "again"
    for name, label in labels_of(tmp_path, **fields).items():
        save(image_of(0), again / name)
        stem = name.removeprefix("images/").removesuffix(".png")
        write_overlapping(str(again / "masks"), stem, label, Data(**fields, labels="multi"))
    for name, label in labels_of(again, **fields).items():
        np.testing.assert_array_equal(label, planes_of(int(name[-5])))


def test_files_of_classes_that_never_meet_are_asked_about(tmp_path):
    write(tmp_path, "folders", overlap=False)
    with pytest.raises(DataError, match=r"(?s)no pixel is of two of them.*labels=exclusive.*labels=multi"):
        open_data(config_of(tmp_path))
    data = open_data(config_of(tmp_path, labels="exclusive"))
    assert data.classes == ("background", *NAMES)
    index = data.train.names.index("images/case_1.png") if "images/case_1.png" in data.train.names else None
    source, index = (data.validation, 0) if index is None else (data.train, index)
    planes = planes_of(int(source.names[index][-5]), overlap=False)
    np.testing.assert_array_equal(source.load(index).label, (planes * [1, 2, 3]).max(axis=2))
    assert open_data(config_of(tmp_path, labels="multi")).config.data.mask_encoding == "files"


def test_a_class_without_a_file_is_nowhere_and_objects_are_no_classes(tmp_path):
    write(tmp_path, "folders")
    (tmp_path / "masks" / "vessel" / "case_2.png").unlink()
    assert not labels_of(tmp_path)["images/case_2.png"][:, :, 2].any()
    objects = tmp_path / "objects"
    for number in range(3):
        save(image_of(number), objects / "images" / f"case_{number}.png")
        for part in range(3):
            picture = Image.fromarray(planes_of(number)[:, :, part] * 255)
            save(picture, objects / "masks" / f"case_{number}_cell{part}.png")
    assert not open_data(config_of(objects)).config.data.multi_label


@pytest.mark.parametrize(
    ("form", "fields", "message"),
    [
        ("bits", {"classes": NAMES[:2], "mask_encoding": "bits"}, r"bits beyond the 2 classes \(kidney, tumour\): 4"),
        ("channels", {"classes": NAMES[:2], "mask_encoding": "planes"}, "has 3 channels or pages, and there are 2"),
        ("folders", {"classes": NAMES[:2]}, r"masks? "),
    ],
)
def test_what_is_no_class_is_named(tmp_path, form, fields, message):
    write(tmp_path, form)
    with pytest.raises(DataError, match=message):
        open_data(config_of(tmp_path, **fields)).train.load(0)


def test_void_batches_and_shares(tmp_path):
    write(tmp_path, "bits")
    path = tmp_path / "masks" / "case_0.png"
    values = np.asarray(Image.open(path)).copy()
    values[0] = 200
    Image.fromarray(values).save(path)
    config = config_of(tmp_path, classes=NAMES, mask_encoding="bits", void_values=(200,))
    data = open_data(config)
    batch = next(iter(training_batches(data.train, data.config, start_step=0, steps=1)))
    assert batch["label"].shape == (2, 8, 8, 3) and set(np.unique(batch["label"])) <= {0, 1, 255}
    whole = {
        source.names[int(b["index"][0])]: b["label"].numpy()[0]
        for source in (data.train, data.validation)
        for b in evaluation_batches(source, data.config, multiple=8)
    }
    assert (whole["images/case_0.png"][0, :16] == 255).all() and (whole["images/case_1.png"][12:] == 255).all()
    text = check_data(config).text()
    assert "of two classes or more" in text and "No problems" in text
    expected = sum(planes_of(n)[1 if n == 0 else 0 :, :, 0].sum() for n in range(4))
    assert sum(split.pixels[0] for split in check_data(config).splits) == expected


def test_crops_over_foreground_take_each_class():
    label = np.zeros((40, 40, 2), np.uint8)
    label[1, 1, 0] = label[38, 38, 1] = 1
    augment = Augment(crop=(4, 4), foreground=1.0, scale=(1.0, 1.0), quarter_turns=False)
    corners = set()
    for number in range(12):
        placed = over_foreground(draw(augment, 0, number, (40, 40)), augment, label, 255, 0, number).placement
        corners.add((placed.top < 20, placed.left < 20))
    assert corners == {(True, True), (False, False)}


def test_pictures_mix_the_colours_of_classes_that_meet():
    planes = np.zeros((9, 9, 2), np.uint8)
    planes[:, :5, 0] = planes[:, 3:, 1] = 1
    picture = colored(planes, ("a", "b"), 255)
    first, both, second = picture[0, 0], picture[0, 4], picture[0, 8]
    assert first.any() and second.any() and (first != second).any()
    np.testing.assert_allclose(both, (first.astype(int) + second) / 2, atol=1)
    grey = overlay(np.full((9, 9, 3), 100), planes * 0, classes=("a", "b"))
    assert (grey == 100).all()
