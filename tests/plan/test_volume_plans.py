"""A plan of volumes: spacing, intensities, patch, directions, and the page that shows them."""

import dataclasses
import runpy
import warnings

import numpy as np
import pytest

from configs.own_volumes import get_config as own_volumes
from configs.reading import fields, validation
from configs.reading.levels import levels
from configs.schema import Data
from tests.data.volumes_made import AFFINE, save
from tests.plan.test_plan import drawn, takes
from tests.reporting.pages import Page, assert_offline
from trainer.errors import UserError
from trainer.plan import plan, volumes
from trainer.plan.fingerprint import GRID, Case, Fingerprint
from trainer.plan.plan import write
from trainer.plan.probe import measure

pytest.importorskip("nibabel")
MEASURING = takes(0.01)


def case_of(size, spacing, lowest=0.0, trend=0.0, name="a"):
    """A case with its objects in the middle."""
    shares = np.zeros((3, 3))
    shares[1, 2] = trend
    places = np.zeros((GRID,) * 3, bool)
    places[12:20, 12:20, 12:20] = True
    return Case(
        name=name,
        size=size,
        counts=np.array([90, 10, 0]),
        levels=np.array([[lowest, lowest, 50.0, 90.0, 100.0]]),
        inside=np.array([80.0]),
        outside=np.array([20.0]),
        medians=np.array([[20.0], [80.0]]),
        values=(np.ones((4, 1), np.float32), np.zeros((4, 1), np.float32)),
        parts={1: np.array([500.0])},
        places=places,
        trend=shares,
        hash=np.zeros(256, bool),
        spacing=spacing,
    )


def found_of(cases):
    return Fingerprint(len(cases), 5, ("background", "liver"), 1, tuple(cases), ())


def section_of(found, **values):
    chosen = {c.field.removeprefix("data."): c.value for c in volumes.preparation(found, Data())}
    return dataclasses.replace(Data(source="volumes", channels=1, classes=found.classes), **(chosen | values))


def chosen_for(found):
    """Field -> value, all of them a valid config."""
    section = section_of(found)
    made = volumes.choices(found, section)
    config = fields.replace(own_volumes(), {"data": section} | {choice.field: choice.value for choice in made})
    assert not validation.problems(config, files=False)
    return {choice.field: choice for choice in made}, levels(config)


def test_the_median_voxel_but_thin_slices_where_slices_are_thick():
    even = found_of([case_of((30, 50, 40), (1.0, 1.0, length)) for length in (0.8, 1.0, 1.2)])
    (spacing, normalize) = volumes.preparation(even, Data())
    assert spacing.value == (1.0, 1.0, 1.0) and "1 x 1 x 0.8 to 1 x 1 x 1.2 mm" in spacing.reason
    assert normalize.value == ("z_score",)
    thick = found_of([case_of((40, 500, 500), (length, 0.8, 0.8)) for length in (2.0, 5.0, 5.0, 5.0, 6.0)])
    (spacing, _) = volumes.preparation(thick, Data())
    # The 10th percentile along the thick axis, as nnU-Net has it.
    assert spacing.value == pytest.approx((3.2, 0.8, 0.8)) and "thinnest tenth" in spacing.reason
    # Never finer than the others; and what is given stays.
    mixed = found_of([case_of((40, 500, 500), (length, 0.8, 0.8)) for length in (0.5, 0.5, 5.0, 5.0, 5.0)])
    assert volumes.preparation(mixed, Data())[0].value == (0.8, 0.8, 0.8)
    assert [c.field for c in volumes.preparation(thick, Data(spacing=(1.0, 1.0, 1.0)))] == ["data.normalize"]


def test_hounsfield_units_are_recognised_by_air_and_fat():
    ct = found_of([case_of((30, 50, 40), (1.0, 1.0, 1.0), lowest=-1000.0)] * 5)
    choice = volumes.preparation(ct, Data())[1]
    assert choice.value == ("ct",) and "-1000" in choice.reason
    padded = found_of([case_of((30, 50, 40), (1.0, 1.0, 1.0), lowest=low) for low in (-1000.0, 0.0, 0.0)])
    assert volumes.preparation(padded, Data())[1].value == ("z_score",)
    assert len(volumes.preparation(ct, Data(normalize=("none",)))) == 1


def test_a_patch_is_the_volume_or_a_cube_of_millimetres():
    # The Decathlon's hippocampus: nnU-Net's patch is 40 x 56 x 40 there, the next multiples of 8.
    small, rows = chosen_for(found_of([case_of((36, 50, 35), (1.0, 1.0, 1.0))] * 9))
    assert small["augment.crop"].value == (32, 48, 32) and rows.strides == ((2, 2, 2),) * 3
    assert "augment.foreground" not in small
    large, rows = chosen_for(found_of([case_of((90, 512, 512), (5.0, 0.8, 0.8))] * 9))
    depth, height, width = large["augment.crop"].value
    assert height == width and depth * 5.0 == pytest.approx(height * 0.8, rel=0.35)
    assert np.prod(large["augment.crop"].value) < 1.3 * 128**3
    # Neither pooling nor convolution along thick slices at first.
    assert rows.strides[0] == (1, 2, 2) and rows.kernels[0] == (1, 3, 3) and rows.kernels[-1] == (3, 3, 3)
    assert "1 x 2 x 2" in large["model.depth"].reason
    assert large["augment.foreground"].value == 0.33
    assert large["loss.options"].value["dice"] == {"include_background": False, "over": "batch"}
    flat, rows = chosen_for(found_of([case_of((3, 200, 200), (8.0, 1.0, 1.0))] * 9))
    assert flat["augment.crop"].value[0] in (2, 3) and all(row[0] == 1 for row in rows.strides)


def test_axes_with_a_direction_are_not_mirrored():
    random = np.random.default_rng(0)
    cases = [case_of((36, 50, 35), (1.0, 1.0, 1.0), trend=0.2 + 0.02 * random.normal()) for _ in range(12)]
    made, _ = chosen_for(found_of(cases))
    assert not made["augment.flip_vertical"].value and made["augment.flip_horizontal"].value
    assert "more of 'liver' toward the front" in made["augment.flip_vertical"].reason
    assert not made["augment.quarter_turns"].value and made["evaluate.mirror"].value
    few, _ = chosen_for(found_of(cases[:4]))
    assert not few["augment.flip_depth"].value and "too few" in few["augment.flip_depth"].reason
    even = tuple(dataclasses.replace(c, counts=np.array([90, 5, 5, 0]), trend=np.zeros((3, 4))) for c in cases)
    for first, second, fixed in (
        ("left kidney", "right kidney", "horizontal"),
        ("anterior part", "posterior part", "vertical"),
        ("lobe_upper", "lobe_lower", "depth"),
    ):
        sides = dataclasses.replace(found_of(even), classes=("background", first, second))
        made = {c.field: c for c in volumes.choices(sides, section_of(sides))}
        flips = {axis: made[f"augment.flip_{axis}"] for axis in ("depth", "vertical", "horizontal")}
        assert {axis for axis, flip in flips.items() if not flip.value} == {fixed}
        assert f"{first} and {second}" in flips[fixed].reason


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten volumes in Hounsfield units: class 1 in front of class 2."""
    root = tmp_path_factory.mktemp("data") / "ct"
    for number in range(10):
        random = np.random.default_rng(number)
        image = random.normal(-1000.0, 10.0, (16, 18, 12))
        label = np.zeros(image.shape, np.uint8)
        # The file's second axis runs from feet to head, its first from front to back; see AFFINE.
        at = int(random.integers(4, 8))
        label[2:6, at : at + 4, 4:8], label[9:13, at : at + 4, 4:8] = 1, 2
        image[label > 0] = random.normal(60.0, 5.0, int((label > 0).sum()))
        save(f"{root}/images/case_{number:02}.nii.gz", image.astype(np.float32), AFFINE)
        save(f"{root}/labels/case_{number:02}.nii.gz", label, AFFINE)
    return str(root)


@pytest.fixture(scope="module")
def made(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return plan(fields.replace(own_volumes(), {"data.path": folder}), measuring=MEASURING)


def test_volumes_are_planned_from_their_files(made, folder):
    config, reasons = made.config, {choice.field: choice.reason for choice in made.choices}
    assert config.data.source == "volumes" and config.name == "ct" and config.data.spacing == (1.5, 1.0, 2.0)
    ((low, high, mean, _),) = config.data.intensities
    assert config.data.normalize == ("ct",) and 40 < low < mean < high < 80
    assert config.augment.crop == (16, 16, 12) and config.train.batch_size == 2
    assert not config.augment.flip_vertical and "toward the" in reasons["augment.flip_vertical"]
    assert config.evaluate.classes == config.data.classes[1:]
    assert not validation.problems(config, files=False)
    given = {"augment.flip_vertical": True, "data.spacing": (2.0, 2.0, 2.0), "data.normalize": ("z_score",)}
    base = fields.replace(own_volumes(), {"data.path": folder} | given)
    again, why = drawn(base, MEASURING, given=tuple(given))
    assert again.augment.flip_vertical and why["augment.flip_vertical"] == "as given"
    assert again.data.spacing == (2.0, 2.0, 2.0) and again.data.normalize == ("z_score",)


def test_few_volumes_are_said_to_be_few(made):
    (note,) = [note for note in made.notes if "crossvalidate" in note]
    assert note.startswith("2 volumes are scored") and "folds=5 scores all 10" in note


def test_the_page_holds_the_figures_and_pictures(made, tmp_path):
    write(made, str(tmp_path / "plan.py"))
    assert runpy.run_path(str(tmp_path / "plan.py"))["get_config"]() == made.config
    text = (tmp_path / "plan.html").read_text(encoding="utf-8")
    assert_offline(text)
    page = Page(text)
    rows = page.tables["classes"][1:]
    assert [row[0] for row in rows] == list(made.config.data.classes)
    assert rows[1][1] == pytest.approx(made.fingerprint.shares[1]) and rows[1][2:4] == [8, 8]
    assert {row[0] for row in page.tables["plan"][1:]} == {choice.field for choice in made.choices}
    assert len(made.pictures) >= 2 and text.count("data:image/webp") == len(made.pictures)
    assert text.count("<svg") == 4 and "foreground" in page.said


def test_memory_decides_before_the_first_measurement():
    """A patch that cannot fit is not tried."""
    tried = []

    def measuring(config):
        tried.append(config)
        return MEASURING(config)

    from trainer.plan.budget import budget

    found = found_of([case_of((300, 300, 300), (1.0, 1.0, 1.0))] * 9)
    section = section_of(found)
    config = fields.replace(own_volumes(), {"data": section, "plan.memory_gib": 1.0})
    config = fields.replace(config, {c.field: c.value for c in volumes.choices(found, section)})
    fitted = budget(config, found, measuring)
    assert np.prod(config.augment.crop) > np.prod(tried[0].augment.crop)
    assert dict((c.field, c.value) for c in fitted.choices)["augment.crop"] == tried[-1].augment.crop


@pytest.mark.slow
def test_steps_on_volumes_are_timed(made):
    small = {"model.width": 2, "model.depth": 1, "augment.crop": (8, 8, 8)}
    measured = measure(fields.replace(made.config, small), clock="processor")
    assert measured.step > 0 and measured.evaluation > 0 and measured.start > measured.step


def test_what_the_steps_say_is_what_is_said(tmp_path):
    from configs.schema import Config

    missing = Config(data=Data(source="folder", path=str(tmp_path / "nowhere")))
    with pytest.raises(UserError) as error:
        measure(missing)
    # The message, and nothing of where in the program it was raised.
    first, second = str(error.value).splitlines()[:2]
    assert "steps that were to be timed" in first and "nowhere" in second
    assert "Error" not in str(error.value) and "line " not in str(error.value)
