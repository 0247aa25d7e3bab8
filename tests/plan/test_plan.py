"""A plan follows from the data: its values, its reasons, and the file that says them."""

import dataclasses
import pathlib
import runpy

import numpy as np
import pytest
from PIL import Image

import main
from configs.schema import Config, Data, Plan
from trainer.data.opening import open_splits
from trainer.errors import UserError
from trainer.plan import plan
from trainer.plan.plan import write
from trainer.plan.probe import Measured, measure


def folder_of(path, count, size, draw, classes=()):
    """images/ and masks/ of ids in `path`; `draw(number, random)` gives an image [h, w, 3] and its mask."""
    random = np.random.default_rng(0)
    for name in ("images", "masks"):
        (path / name).mkdir(parents=True)
    for number in range(count):
        image, mask = draw(number, random, size)
        Image.fromarray(image).save(path / "images" / f"case_{number:03}.png")
        Image.fromarray(mask).save(path / "masks" / f"case_{number:03}.png")
    if classes:
        (path / "classes.txt").write_text("\n".join(classes), encoding="utf-8")
    return Config(data=Data(source="folder", path=str(path), channels=0, classes=tuple(classes)))


def discs(radius, brighter=60, level=lambda number, random: 90):
    def draw(number, random, size):
        mask = np.zeros((size, size), "uint8")
        row, column = random.integers(radius, size - radius, 2)
        rows, columns = np.mgrid[:size, :size]
        mask[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = 1
        image = random.normal(level(number, random), 10, (size, size, 3)) + brighter * mask[..., None]
        return image.clip(0, 255).astype("uint8"), mask

    return draw


def takes(per_million, memory=1.0):
    """The time of a step by its work, in place of taking some."""

    def measuring(config):
        work = config.train.batch_size * np.prod(config.augment.crop) * config.model.width / 16 / 1e6
        micro = config.train.batch_size // config.train.accumulate
        return Measured(0.01 + per_million * work, 10.0, 1.0, 0.5 + memory * micro / 8)

    return measuring


FAST = takes(0.01)


def drawn(config, measuring=FAST, given=()):
    made = plan(config, measuring=measuring, given=given)
    return made.config, {choice.field: choice.reason for choice in made.choices}


def test_small_images_are_taken_whole_and_large_ones_by_their_objects(tmp_path):
    small, why = drawn(folder_of(tmp_path / "small", 12, 70, discs(8)))
    assert small.augment.crop == (80, 80) and "median is 70 x 70" in why["augment.crop"]
    large, why = drawn(folder_of(tmp_path / "large", 12, 400, discs(30)))
    assert large.augment.crop == (160, 160) and "up to 60 pixels" in why["augment.crop"]
    assert small.model.depth < large.model.depth


def test_brightness_is_kept_where_it_tells_something(tmp_path):
    kept, _ = drawn(folder_of(tmp_path / "kept", 12, 64, discs(8)))
    assert kept.model.input_scaling == "unit"
    wander = discs(8, brighter=25, level=lambda number, random: random.uniform(30, 200))
    scaled, why = drawn(folder_of(tmp_path / "wander", 12, 64, wander))
    assert scaled.model.input_scaling == "standardize" and scaled.augment.brightness > kept.augment.brightness
    assert "deviations apart" in why["model.input_scaling"]


def test_what_tells_classes_apart_is_no_difference_to_be_added(tmp_path):
    def halves(number, random, size):
        # Mostly water, or mostly sand: images differ in brightness, their classes do not.
        mask = np.zeros((size, size), "uint8")
        mask[: size * (1 + number % 3) // 4] = 1
        mask[:, -4:] = 2
        image = np.array([30, 200, 120])[mask][..., None] + random.normal(0, 5, (size, size, 3))
        return image.clip(0, 255).astype("uint8"), mask

    made, why = drawn(folder_of(tmp_path, 12, 64, halves, ("water", "sand", "road")))
    assert made.augment.brightness < 0.02, why["augment.brightness"]
    assert "a class's brightness differs from image to image by" in why["augment.brightness"]


def test_fewer_crops_a_step_only_where_each_shows_the_same_classes(tmp_path):
    def of_one_class(number, random, size):
        # Water, sand or road alone, as on tiles; or all three on each.
        mask = np.full((size, size), number % 3, "uint8")
        return np.repeat(mask[..., None] * 60 + 40, 3, axis=2).astype("uint8"), mask

    def of_all(number, random, size):
        mask = np.repeat((np.arange(size) * 3 // size).astype("uint8")[None], size, axis=0)
        return np.repeat(mask[..., None] * 60 + 40, 3, axis=2).astype("uint8"), mask

    classes, slow = ("water", "sand", "road"), takes(200.0)
    tiles, why = drawn(folder_of(tmp_path / "tiles", 12, 64, of_one_class, classes), slow)
    assert tiles.train.batch_size == 8 and "crops differ by the class that they show" in why["train.batch_size"]
    alike, _ = drawn(folder_of(tmp_path / "alike", 12, 64, of_all, classes), slow)
    assert alike.train.batch_size < 8


def test_a_picture_with_an_up_and_a_down_is_not_turned(tmp_path):
    def sky(number, random, size):
        image, mask = discs(8)(number, random, size)
        return np.maximum(image, np.linspace(200, 20, size)[:, None, None].astype("uint8")), mask

    upright, why = drawn(folder_of(tmp_path / "sky", 12, 64, sky))
    assert not upright.augment.flip_vertical and not upright.augment.quarter_turns and upright.augment.flip_horizontal
    assert why["augment.flip_vertical"].startswith("brightness changes from top to bottom")
    free, _ = drawn(folder_of(tmp_path / "free", 12, 64, discs(8)))
    assert free.augment.flip_vertical and free.augment.quarter_turns


def test_left_and_right_are_not_mirrored(tmp_path):
    sides = folder_of(tmp_path / "sides", 12, 64, discs(8), ("kidney_left", "kidney_right"))
    made, why = drawn(sides)
    assert not made.augment.flip_horizontal and "kidney_left and kidney_right" in why["augment.flip_horizontal"]


def test_rare_objects_are_looked_for(tmp_path):
    made, why = drawn(folder_of(tmp_path / "rare", 10, 600, discs(6)))
    assert made.augment.foreground == 0.33 and made.loss.name == "tversky+cross_entropy"
    assert "of the random crops hold none" in why["augment.foreground"]
    common, _ = drawn(folder_of(tmp_path / "common", 10, 64, discs(16)))
    assert common.augment.foreground == 0 and common.loss.name == "dice+cross_entropy"


def test_slices_of_a_volume_stay_together(tmp_path):
    shared = {}

    def draw(number, random, size):
        if number % 4 == 0:
            shared["image"], shared["mask"] = discs(8)(number, random, size)
            shared["image"] = shared["image"] // 2 + random.integers(0, 120, (8, 8, 1)).repeat(size // 8, 0).repeat(
                size // 8, 1
            ).astype("uint8")
        return shared["image"] + random.integers(0, 2, (size, size, 3)).astype("uint8"), shared["mask"]

    config = folder_of(tmp_path / "slices", 32, 64, draw)
    alone, _ = drawn(config)
    assert not alone.data.group  # a number says nothing of what belongs together
    for kind in ("images", "masks"):
        for number in range(32):
            path = tmp_path / "slices" / kind / f"case_{number:03}.png"
            path.rename(path.with_name(f"patient{number // 4}_slice_{number % 4}.png"))
    made, why = drawn(config)
    assert "8 patients" in why["data.group"] and "folds=5" in plan(config, measuring=FAST).text
    splits, _ = open_splits(made.data)
    sides = [{name.split("_")[0] for name in reader.names} for reader in (splits.train, splits.validation)]
    assert sides[0].isdisjoint(sides[1]) and len(sides[0] | sides[1]) == 8


@pytest.fixture(scope="module")
def disc_folder(tmp_path_factory):
    return folder_of(tmp_path_factory.mktemp("data") / "discs", 20, 200, discs(20))


def with_plan(config, **values):
    return dataclasses.replace(config, plan=Plan(**values))


def test_time_decides_on_width_batch_and_length(disc_folder):
    slow, why = drawn(with_plan(disc_folder, minutes=5), takes(40.0))
    fast, _ = drawn(with_plan(disc_folder, minutes=5), takes(0.05))
    assert slow.model.width < fast.model.width and slow.train.batch_size <= fast.train.batch_size
    for config in (slow, fast):
        assert config.model.depth <= np.log2(min(config.augment.crop) / 8)
    steps = int(slow.train.length.split()[0])
    seconds = takes(40.0)(slow).step
    assert 0.6 * 300 < steps * seconds + 11 < 300 and "5 minutes" in why["train.length"]
    longer, _ = drawn(with_plan(disc_folder, minutes=10), takes(40.0))
    # More time is spent on more steps, or on dearer ones.
    assert int(longer.train.length.split()[0]) > steps or takes(40.0)(longer).step > seconds


def test_too_little_time_or_memory_is_said(disc_folder):
    made, why = drawn(with_plan(disc_folder, minutes=0.5, memory_gib=0.4), takes(4000.0))
    assert made.train.length == "50 steps" and "more than the 0.5 that were given" in why["train.length"]
    assert "more than the 0.4 GiB given, and nothing smaller is left" in why["train.batch_size"]
    assert made.optimizer.ema_decay == 0.0 and "too few steps" in why["optimizer.ema_decay"]


def test_bfloat16_where_it_was_measured_to_be_faster(disc_folder):
    def with_half(factor):
        def measuring(config):
            measured, half = takes(1.0)(config), config.precision == "mixed_bfloat16"
            return dataclasses.replace(measured, step=measured.step * (factor if half else 1), bfloat16=not half)

        return measuring

    faster, why = drawn(disc_folder, with_half(0.5))
    assert faster.precision == "mixed_bfloat16" and "in float32" in why["precision"]
    slower, _ = drawn(disc_folder, with_half(0.95))
    assert slower.precision == "auto"
    assert int(faster.train.length.split()[0]) * faster.model.width >= int(slower.train.length.split()[0])
    given, _ = drawn(disc_folder, with_half(0.5), given=("precision",))
    assert given.precision == "auto"


def test_memory_decides_on_micro_batches(disc_folder):
    made, why = drawn(with_plan(disc_folder, memory_gib=1.5), takes(0.01, memory=4.0))
    assert made.train.accumulate >= 4 and takes(0.01, 4.0)(made).memory <= 1.5
    assert "1.5 GiB were given" in why["train.accumulate"]
    # Batch statistics of one or two images say little.
    assert made.model.normalization == "group"


def test_what_is_given_stays(disc_folder):
    config = dataclasses.replace(disc_folder, model=dataclasses.replace(disc_folder.model, width=12))
    made, why = drawn(config, takes(40.0), given=("model.width",))
    assert made.model.width == 12 and why["model.width"] == "as given"


def test_the_file_says_the_config_and_why(disc_folder, tmp_path):
    made = plan(disc_folder, measuring=FAST)
    path = tmp_path / "runs" / "plan.py"
    write(made, str(path))
    assert runpy.run_path(str(path))["get_config"]() == made.config
    for choice in made.choices:
        if choice.reason:
            assert " ".join(choice.reason.split()) in " ".join(made.text.replace("#", " ").split())
    write(made, str(path))  # the same once more is no harm
    path.write_text(made.text + "# mine\n", encoding="utf-8")
    with pytest.raises(UserError, match="may have been edited"):
        write(made, str(path))


def test_the_command_plans_and_its_recipe_trains(disc_folder, tmp_path, monkeypatch, capsys):
    """With steps that are really taken, in a process of their own."""
    monkeypatch.chdir(tmp_path)
    small = ["--config.model.width=2", "--config.augment.crop=32,32", "--config.plan.minutes=5"]
    assert main.main(["main.py", "--mode=plan", f"--config.data.path={disc_folder.data.path}", *small]) == 0
    output = capsys.readouterr().out
    path = pathlib.Path("runs/discs/plan.py")
    assert path.exists()
    assert f"python main.py --config={path}" in output and "20 were looked at" not in output and "classes" in output
    made = runpy.run_path(str(path))["get_config"]()
    assert (made.model.width, made.augment.crop, made.name) == (2, (32, 32), "discs")
    short = ["--config.train.length=2 steps", "--config.train.log_every=1 steps", "--workdir=runs/short"]
    assert main.main(["main.py", f"--config={path}", *short]) == 0


def test_steps_that_fail_are_reported(disc_folder):
    broken = dataclasses.replace(disc_folder, model=dataclasses.replace(disc_folder.model, name="no_such_module:build"))
    with pytest.raises(UserError, match="(?s)steps that were to be timed.*no_such_module"):
        measure(broken)
