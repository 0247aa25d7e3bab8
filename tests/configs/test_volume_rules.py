"""What a config of volumes may not say, and the levels of a U-Net that follow from crop and spacing."""

import pytest

from configs.reading import overrides, validation, values
from configs.reading.folders import holds_volumes
from configs.reading.levels import levels
from configs.schema import Augment, Config, Data, Evaluate, Model

VOLUMES = Data(source="volumes")
SMALL = Model(depth=2, input_scaling="none")


def problems(**sections):
    return [problem.text for problem in validation.problems(Config(**sections), files=False)]


def test_a_config_of_volumes_that_is_right():
    assert not problems(data=VOLUMES, augment=Augment(crop=(32, 32, 32)), model=SMALL)
    # The numbers of a list may be two or three.
    crop = overrides.apply(Config(), [overrides.Assignment("augment.crop", "16,32,32", "")])[0].augment.crop
    assert crop == (16, 32, 32)
    with pytest.raises(ValueError, match="not 2 or 3 whole numbers"):
        values.from_text("1,2,3,4", tuple[int, int] | tuple[int, int, int])


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        (dict(data=VOLUMES, model=SMALL), ["augment.crop=(128, 128)", "--config.augment.crop=32,32,32"]),
        (dict(augment=Augment(crop=(32, 32, 32)), model=SMALL), ["data.source=nuclei", "--config.data.source=volumes"]),
        (
            dict(data=VOLUMES, augment=Augment(crop=(8, 8, 8)), model=SMALL),
            ["can be halved 1 times", "--config.model.depth=1"],
        ),
        (
            dict(data=VOLUMES, augment=Augment(crop=(32, 32, 32)), model=Model(depth=2)),
            ["model.input_scaling='standardize'", "--config.model.input_scaling=none"],
        ),
        (
            dict(data=Data(source="volumes", spacing=(1, 1)), augment=Augment(crop=(32, 32, 32)), model=SMALL),
            ["three sides", "--config.data.spacing=1,1,1"],
        ),
        (
            dict(data=Data(source="volumes", normalize=("zscore",)), augment=Augment(crop=(32, 32, 32)), model=SMALL),
            ["zscore is not one of", "Did you mean z_score?"],
        ),
        (
            dict(
                data=VOLUMES,
                augment=Augment(crop=(32, 32, 32)),
                model=SMALL,
                evaluate=Evaluate(tile=(30, 32, 32)),
            ),
            ["evaluate.tile=(30, 32, 32)", "multiples of 4", "32,32,32"],
        ),
        (dict(model=Model(depth=2, strides=((2, 2),))), ["makes 2 rows", "[[2, 2], [2, 2]]"]),
        (dict(model=Model(depth=1, kernels=((3, 3), (2, 3)))), ["odd"]),
    ],
)
def test_what_is_wrong_is_said_with_what_to_write(sections, words):
    text = "\n".join(problems(**sections))
    assert all(word in text for word in words), text


def test_levels_follow_the_spacing_unless_they_are_given():
    def of(spacing, crop=(16, 64, 64), **model):
        return levels(Config(data=Data(spacing=spacing), augment=Augment(crop=crop), model=Model(depth=3, **model)))

    assert of(()).multiples == (4, 8, 8)  # the depth of 16 keeps 4
    assert of((5.0, 1.0, 1.0)).strides == ((1, 2, 2), (1, 2, 2), (2, 2, 2))
    assert of((5.0, 1.0, 1.0)).kernels == ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3))
    given = ((1, 2, 2), (2, 2, 2), (1, 4, 4))
    assert of((5.0, 1.0, 1.0), strides=given).multiples == (2, 16, 16)
    assert levels(Config(model=Model(depth=3))).multiples == (8, 8)


def test_folders_of_volumes_are_told_by_names(tmp_path):
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "dataset.json").touch()
    assert not holds_volumes(str(tmp_path))
    (tmp_path / "imagesTr" / "a_0000.NII.GZ").touch()
    assert holds_volumes(str(tmp_path))
    for name in "bcd":
        (tmp_path / f"{name}.png").touch()
    assert not holds_volumes(str(tmp_path)) and not holds_volumes("") and not holds_volumes(str(tmp_path / "b.png"))


@pytest.mark.parametrize("metric", ["surface_dice", "hausdorff_95_mm"])
def test_surface_scores_decide_of_volumes_alone(metric):
    evaluate = Evaluate(metric=metric)
    assert not problems(data=VOLUMES, augment=Augment(crop=(32, 32, 32)), model=SMALL, evaluate=evaluate)
    (text,) = problems(evaluate=evaluate)
    assert "not one of the scores measured" in text
