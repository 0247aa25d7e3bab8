"""Names of losses: short ones, any spelling, misspelt ones; the catalogue in README and on the terminal."""

import pathlib
import re

import pytest

import losses
from losses import names


def test_short_names_mean_losses_and_are_none_themselves():
    for short, meaning in names.SHORT_NAMES.items():
        assert short not in names.LOSSES
        assert set(meaning.split("+")) <= names.LOSSES.keys()
        assert names.terms_of(short) == tuple(meaning.split("+"))


@pytest.mark.parametrize(
    ("written", "terms"),
    [
        ("ce", ["cross_entropy"]),
        ("bce", ["binary_cross_entropy"]),
        ("focal", ["focal_softmax"]),
        ("iou", ["jaccard"]),
        ("IoU", ["jaccard"]),
        ("soft_dice", ["dice"]),
        ("dice_ce", ["dice", "cross_entropy"]),
        ("bce_dice", ["binary_cross_entropy", "dice"]),
        ("Dice-CE", ["dice", "cross_entropy"]),
        ("FocalTverskyLoss", ["focal_tversky"]),
        ("lovasz + dice_loss", ["lovasz_softmax", "dice"]),
        ("generalized_dice+BinaryCrossentropy", ["generalised_dice", "binary_cross_entropy"]),
    ],
)
def test_any_usual_name_is_understood(written, terms):
    assert names.terms_of(written) == tuple(terms)


@pytest.mark.parametrize(
    ("written", "nearest"),
    [
        ("focl", {"focal_softmax", "focal_sigmoid", "focal_tversky", "unified_focal"}),
        ("entropy", {"cross_entropy", "binary_cross_entropy"}),
        ("tversky_focal", {"focal_tversky"}),
        ("iuo", {"jaccard"}),
        ("hinge", {"lovasz_hinge"}),
    ],
)
def test_a_wrong_name_lists_the_nearest_and_then_all(written, nearest):
    with pytest.raises(ValueError, match=f"'{written}' is no loss") as caught:
        losses.build(f"dice+{written}")
    suggested, everything = str(caught.value).split("The losses are: ")
    assert nearest <= set(re.findall(r"'(\w+)'", suggested.split("did you mean")[1]))
    assert all(name in everything for name in names.LOSSES) and "dice_ce" in everything


def test_a_name_like_none_lists_all_without_a_guess():
    with pytest.raises(ValueError, match="'qqq' is no loss. The losses are: ") as caught:
        names.terms_of("qqq")
    assert "did you mean" not in str(caught.value)


def test_what_comes_twice_or_is_empty_is_found_under_any_name():
    with pytest.raises(ValueError, match=r"an empty term; 'dice' is there twice \(use weights\)"):
        names.terms_of("dice+soft_dice+")


def test_attributes_of_the_package():
    assert losses.keras_losses.Dice.__name__ == "Dice"
    assert set(names.LOSSES) <= set(dir(losses))
    with pytest.raises(AttributeError, match="'ce'; it is short for 'cross_entropy'"):
        losses.ce  # noqa: B018
    with pytest.raises(AttributeError, match="did you mean .*jaccard"):
        losses.jacard  # noqa: B018
    # A file of a loss's name would hide the loss once it is imported.
    files = {path.stem for path in pathlib.Path(losses.__file__).parent.glob("*.py")}
    assert not files & {*names.LOSSES, "build", "deep_supervision", "distance_maps"}


def test_the_readme_has_the_table():
    readme = (pathlib.Path(losses.__file__).parent / "README.md").read_text(encoding="utf-8")
    assert names.table() in readme
    assert f"{len(names.LOSSES)} of them" in readme
