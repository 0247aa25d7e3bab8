"""The check counts the contents, and reports oddities that can be trained on but are probably not intended."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil

import numpy as np
import pytest

from configs.schema import Config, Data
from tests.data.making import config_for, make_folder, picture, save
from trainer.data import check_data, open_data, training_batches


@pytest.fixture
def folder(tmp_path):
    make_folder(tmp_path, 4, place="train")
    for number in range(2):
        image, mask = picture(20 + number, (30, 40))
        save(tmp_path / "val" / "images" / f"{number}.png", image)
        save(tmp_path / "val" / "masks" / f"{number}.png", mask)
    return tmp_path


def warned(config) -> str:
    report = check_data(config)
    assert report.ok
    return "\n".join(report.warnings)


def test_everything_is_counted(folder):
    mask = np.zeros((24, 32), np.uint8)
    save(folder / "train" / "masks" / "001.png", mask)
    report = check_data(config_for(folder))
    train, validation = report.splits
    assert (train.examples, validation.examples) == (4, 2)
    assert set(train.sizes) == {(24, 32)} and set(validation.sizes) == {(30, 40)}
    data = open_data(config_for(folder))
    discs = sum(data.train.load(i).label.sum() for i in range(4))
    assert train.pixels.tolist() == [4 * 24 * 32 - discs, discs, 0]
    assert train.images.tolist() == [4, 3]
    text = report.text()
    assert "train: 4 images, 32 … 32 pixels wide and 24 … 24 high" in text
    assert f"   1  disc                     {discs / (4 * 24 * 32):>8.2%}        3        1" in text
    assert "No problems: every file can be used." in text and not report.warnings


def test_void_is_counted_apart(folder):
    report = check_data(config_for(folder, mask_encoding="ids", mask_ids=((0, 0), (255, 255))))
    assert report.splits[0].pixels[1] == 0 and report.splits[0].pixels[2] > 0


def test_a_class_without_pixels_is_warned_of(folder):
    # The usual slip: masks of 0 and 255 read as ids, where 255 is void.
    text = warned(config_for(folder, mask_encoding="ids"))
    assert "class 'disc' (1) has no pixel in the train split: it is never learnt" in text
    assert "class 'disc' (1) has no pixel in the validation split: it is never scored" in text
    assert "mask_encoding='ids'" in text


def test_masks_of_void_alone_are_warned_of(folder):
    save(folder / "train" / "masks" / "002.png", np.full((24, 32), 255, np.uint8))
    save(folder / "train" / "masks" / "003.png", np.ones((24, 32), np.uint8))
    config = config_for(folder, mask_encoding="ids")
    assert "train: 1 masks are void throughout: train/images/002.png" in warned(config)


def test_images_in_both_splits_are_warned_of_whatever_they_are_called(folder):
    for kind in ("images", "masks"):
        shutil.copyfile(folder / "train" / kind / "003.png", folder / "val" / kind / "copy.png")
    text = warned(config_for(folder))
    assert "1 images of the validation split are also trained on: val/images/copy.png = train/images/003.png" in text


def test_images_that_occur_twice_are_warned_of(folder):
    for kind in ("images", "masks"):
        shutil.copyfile(folder / "train" / kind / "003.png", folder / "train" / kind / "again.png")
    assert "train: 1 images occur twice: train/images/again.png = train/images/003.png" in warned(config_for(folder))


def test_images_of_one_colour_are_warned_of(folder):
    save(folder / "val" / "images" / "0.png", np.full((30, 40, 3), 9, np.uint8))
    assert "validation: 1 images have one colour throughout: val/images/0.png" in warned(config_for(folder))


def test_images_below_the_crop_are_warned_of(folder):
    text = warned(config_for(folder, augment={"crop": (25, 16)}))
    assert "train: 4 images are smaller than the crop of 25 x 16 and are padded with void: train/images/000.png" in text
    assert "validation:" not in text


def test_a_check_reads_all_and_raises_nothing(folder):
    (folder / "train" / "images" / "000.png").write_bytes(b"")
    (folder / "val" / "masks" / "0.png").unlink()
    report = check_data(config_for(folder))
    assert len(report.problems) == 2 and [split.examples for split in report.splits] == [3, 1]
    assert "train/images/000.png: is empty" in report.text() and "val/images/0.png: an image without" in report.text()


def test_a_check_of_nothing_says_why(tmp_path):
    report = check_data(config_for(tmp_path / "nowhere"))
    assert not report.ok and "does not exist" in report.text() and "images," not in report.text()


def test_the_embedded_nuclei_have_no_problem_and_no_oddity():
    report = check_data(Config())
    assert report.ok and not report.warnings
    assert report.splits[0].pixels[1] / report.splits[0].pixels.sum() == pytest.approx(0.149, abs=5e-4)


def test_classes_that_a_mirror_exchanges_are_asked_about(folder):
    def named(*classes, **augment):
        return "\n".join(
            check_data(config_for(folder, classes=classes, augment=augment, mask_encoding="binary")).warnings
        )

    arrows = named("left_arrow", "right_arrow")
    assert "the classes left_arrow and right_arrow change places in a mirrored image" in arrows
    assert "l_kidney and r_kidney" in named("l_kidney", "r_kidney")
    still = {"flip_horizontal": False, "quarter_turns": False}
    for text in (named("left_arrow", "right_arrow", **still), named("left", "up"), named("lright", "lleft")):
        assert "mirrored" not in text


def rare(number: int, size=(160, 160)):
    image, mask = picture(number, size)
    mask = np.zeros_like(mask)
    mask[40 + number : 44 + number, 60:64] = 255
    return image, mask


def test_crops_that_hardly_meet_an_object_are_warned_of_and_can_be_laid_over_one(tmp_path):
    for number in range(6):
        image, mask = rare(number)
        save(tmp_path / "images" / f"{number}.png", image)
        save(tmp_path / "masks" / f"{number}.png", mask)
    config = config_for(tmp_path)
    text = warned(config)
    assert "foreground is 0.06% of the pixels" in text and "--config.augment.foreground=0.33" in text

    def met(share):
        config = config_for(tmp_path, augment={"foreground": share})
        batches = training_batches(open_data(config).train, config, start_step=0, steps=60)
        return np.mean([(label == 1).any() for batch in batches.as_numpy_iterator() for label in batch["label"]])

    assert met(0.0) < 0.1 and met(1.0) == 1.0 and 0.35 < met(0.5) < 0.65
    assert "foreground is" not in warned(config_for(tmp_path, augment={"foreground": 0.33}))


def slices(root, patients: int = 6, count: int = 5) -> str:
    """Neighbouring slices of each patient look alike; those of others do not."""
    for patient in range(patients):
        y, x = np.mgrid[:48, :48]
        waves = np.random.default_rng(patient).uniform(0.05, 0.5, (4, 2))
        base = sum(np.sin(a * y + b * x + patient) for a, b in waves) * 25 + 120
        for number in range(count):
            image = base + 0.2 * number * np.cos(0.3 * x)
            save(root / "images" / f"patient{patient}_slice{number}.png", image.astype(np.uint8))
            save(root / "masks" / f"patient{patient}_slice{number}.png", np.where(base > 125, 255, 0).astype(np.uint8))
    return str(root)


def test_slices_of_one_patient_on_both_sides_are_found_and_kept_together(tmp_path):
    folder = slices(tmp_path)
    text = warned(config_for(folder))
    assert "images of the validation split look almost like ones that are trained on: images/patient" in text
    assert "--config.data.group=" in text
    config = config_for(folder, group=r"(patient\d+)")
    assert "look almost" not in warned(config)
    data = open_data(config)
    sides = [{name.split("_")[0] for name in source.names} for source in (data.train, data.validation)]
    assert not sides[0] & sides[1] and len(data.validation) >= 5
    wrong = {"subject": "finds nothing in 'images/patient0_slice0.png'", "patient": "finds the same in all"}
    for pattern, says in wrong.items():
        assert says in check_data(config_for(folder, group=pattern)).text()


def test_a_split_of_one_class_alone_is_asked_about(folder):
    for path in (folder / "val" / "masks").iterdir():
        save(path, np.zeros((30, 40), np.uint8))
    text = warned(config_for(folder))
    assert "all pixels of the validation split are 'background': are these the right masks?" in text


DUBAI = pathlib.Path(__file__).parents[3] / "shared" / "data" / "dubai_aerial"


def test_the_real_tiles_of_dubai_as_a_folder_with_colours_and_void():
    if not DUBAI.is_dir():
        pytest.skip(f"the Dubai tiles are not at {DUBAI}")
    colors = ((60, 16, 152, 0), (132, 41, 246, 1), (110, 193, 228, 2), (254, 221, 58, 3), (226, 169, 41, 4))
    data = Data(
        source="folder",
        path=str(DUBAI),
        classes=("Building", "Land", "Road", "Vegetation", "Water"),
        mask_encoding="colors",
        mask_colors=(*colors, (155, 155, 155, 255), (0, 0, 0, 255)),
    )
    report = check_data(Config(data=data))
    assert report.ok and not report.warnings, report.text()
    assert [split.examples for split in report.splits] == [30, 5]
    # Shares as the set's own description states them.
    train = report.splits[0].pixels / report.splits[0].pixels.sum()
    assert train == pytest.approx([0.0293, 0.3881, 0.0583, 0.1070, 0.4086, 0.0088], abs=6e-5)


def _scan(number: int, lesion: bool, base: int = 60, noise: int = 6) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(number)
    image = base + random.integers(0, noise, (32, 32, 3))
    mask = np.zeros((32, 32), np.uint8)
    if lesion:
        mask[8:20, 10:24] = 255
        image = image + (mask[:, :, None] > 0) * 90
    return image.astype(np.uint8), mask


@pytest.mark.parametrize(
    ("kind", "says"), [("noise", "looks like what is bright in the latter"), ("base", "tells them apart"), ("", "")]
)
def test_what_standardising_takes_away_is_said(kind, says, tmp_path):
    for number in range(12):
        lesion = number % 2 == 0
        base = 150 if kind == "base" and not lesion else 60
        image, mask = _scan(number, lesion, base, noise=90 if kind != "noise" else 6)
        save(tmp_path / "images" / f"{number}.png", image)
        save(tmp_path / "masks" / f"{number}.png", mask)
    config = config_for(tmp_path)
    text = " ".join(check_data(config).text().split())
    assert "brightness of the images (5 to 95 % of them): mean" in text
    assert says in text if says else "input_scaling" not in text
    unit = dataclasses.replace(config, model=dataclasses.replace(config.model, input_scaling="unit"))
    assert "input_scaling" not in check_data(unit).text()


def test_a_long_name_of_a_class_leaves_the_other_columns_their_place(folder):
    report = check_data(config_for(folder, classes=("background", "a name of a class " * 5)))
    table = [line for line in report.text().splitlines() if line.split()[:1] in (["0"], ["1"])]
    assert any("a name of a class" in line for line in table) and max(map(len, table)) <= 78
