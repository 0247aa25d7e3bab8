"""Post-processing of masks: what each step does, that all candidates are counted as they would be, and files."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from trainer.errors import UserError
from trainer.evaluation.metrics import (
    confusion_matrices,
    confusion_of,
    image_counts,
    overlapping_counts,
)
from trainer.export.serving.postprocess import changed, decided, processed
from trainer.postprocess.candidates import HALF, SIZES, THRESHOLDS, Candidates, part_counts, threshold_counts
from trainer.prediction import postprocessing
from trainer.prediction.postprocessing import Parts, PostProcessing
from trainer.stepping.segmentation import predicted, probabilities

CLASSES = ("background", "cell", "debris")
MASK = np.array(
    [
        [1, 1, 1, 0, 0, 0, 0],
        [1, 0, 1, 0, 0, 2, 0],
        [1, 1, 1, 0, 2, 0, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 1],
    ],
    np.uint8,
)


def made(**parts) -> PostProcessing:
    return PostProcessing(classes=CLASSES, parts={"cell": Parts(**parts)})


def test_holes_are_filled_with_what_encloses_them():
    mask = made(fill_holes=True)(MASK)
    assert mask[1, 1] == 1 and (mask == 1).sum() == (MASK == 1).sum() + 1
    # Another class in the hole stays, and is not counted as a part's own.
    inside = np.where((np.indices(MASK.shape) == 1).all(axis=0), 2, MASK)
    np.testing.assert_array_equal(made(fill_holes=True)(inside), inside)


def test_parts_hang_together_across_corners_and_small_ones_become_background():
    mask = made(smallest=9)(MASK)
    # The ring has eight pixels, and a ninth across its corner.
    assert mask[3, 3] == 1 and mask[4, 6] == 0
    assert (made(smallest=10)(MASK) == 1).sum() == 0
    assert (made(smallest=10, fill_holes=True)(MASK) == 1).sum() == 10, "holes are filled first"
    np.testing.assert_array_equal(made(smallest=10)(MASK) == 2, MASK == 2)


def test_the_largest_part_alone():
    mask = made(largest=True)(MASK)
    assert mask[4, 6] == 0 and (mask == 1).sum() == 9
    np.testing.assert_array_equal(made(largest=True)(np.zeros_like(MASK)), 0)


def test_sizes_of_volumes_are_mm3():
    post = PostProcessing(classes=CLASSES[:2], rank=3, parts={"cell": Parts(smallest=5.0)})
    mask = np.zeros([3, 3, 3], np.uint8)
    mask[1, 1, 1] = 1
    assert post(mask, (2.0, 2.0, 1.0)).sum() == 0 and post(mask, (2.0, 2.0, 1.5)).sum() == 1


def test_classes_that_overlap_are_changed_each_by_itself():
    planes = np.stack([MASK == 1, MASK > 0], axis=-1).astype(np.uint8)
    post = PostProcessing(classes=("cell", "all"), multi_label=True, parts={"cell": Parts(smallest=9, fill_holes=True)})
    mask = post(planes)
    assert mask[1, 1, 0] == 1 and mask[4, 6, 0] == 0
    np.testing.assert_array_equal(mask[..., 1], planes[..., 1])


@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_a_threshold_decides_on_the_device_as_in_the_program_that_is_exported(outputs):
    logits = np.random.default_rng(0).normal(size=(4, 5, outputs)).astype("float32") * 3
    multi_label = outputs == 3
    classes = CLASSES if multi_label else CLASSES[:2]
    post = PostProcessing(classes=classes, multi_label=multi_label, thresholds={"cell": 0.8})
    shares = probabilities(logits, multi_label).numpy()
    ids = predicted(tf.constant(logits), multi_label, post.cuts).numpy()
    np.testing.assert_array_equal(ids, decided(shares, post.steps()))
    assert (ids != predicted(tf.constant(logits), multi_label).numpy()).any()


def test_counts_on_the_host_are_those_of_the_device():
    random = np.random.default_rng(0)
    label, ids = random.integers(0, 4, (2, 6, 7)), random.integers(0, 3, (2, 6, 7))
    device = confusion_matrices(tf.constant(label), tf.constant(ids), 3, 3).numpy()
    np.testing.assert_array_equal(device, [confusion_of(*pair, 3, 3) for pair in zip(label, ids, strict=True)])
    label, ids = random.integers(0, 3, (2, 6, 7, 3)), random.integers(0, 2, (2, 6, 7, 3))
    device = overlapping_counts(tf.constant(label), tf.constant(ids), 2).numpy()
    np.testing.assert_array_equal(device, [confusion_of(*pair, 3, 2, True) for pair in zip(label, ids, strict=True)])


def test_every_candidate_counts_as_if_it_had_been_carried_out():
    random = np.random.default_rng(0)
    smooth = random.normal(size=(40, 40)).cumsum(0).cumsum(1)
    probability = (1 / (1 + np.exp(-(smooth - np.median(smooth)) / 50))).astype("float32")
    label, valid = random.uniform(size=(40, 40)) < probability, random.uniform(size=(40, 40)) < 0.9

    def counts(found):
        return [(label & found & valid).sum(), (label & valid).sum(), (found & valid).sum()]

    at = threshold_counts(label, valid, probability)
    np.testing.assert_array_equal(at, [counts(probability > threshold) for threshold in THRESHOLDS])
    found = probability + random.normal(size=(40, 40)) * 0.3 > THRESHOLDS[HALF]
    of = part_counts(label, valid, found, ~found, voxel=2.0)
    for holes in (False, True):
        ways = [{"smallest": 0, "largest": False}, *({"smallest": size, "largest": False} for size in SIZES)]
        ways.append({"smallest": 0, "largest": True})
        wanted = [counts(changed(found, ~found, way | {"fill_holes": holes}, 2.0)) for way in ways]
        np.testing.assert_array_equal(of[int(holes)], wanted)


def test_what_is_gathered_is_dice_by_image():
    found = Candidates(CLASSES, False, thresholds=False)
    found.add(MASK, MASK, 255)
    found.add(np.zeros_like(MASK), MASK, 255)
    assert found.changeable == ["cell", "debris"]
    np.testing.assert_array_equal(np.stack(found.before)[:, 1:], [[1, 1], [0, 0]])
    by_part = np.stack(found.by_part["debris"])
    # An image without the class counts 0 with an invented part, and does not count without it.
    assert by_part[1, 0, 0] == 0 and np.isnan(by_part[1, 0, 1])
    assert not Candidates(("a", "b", "c"), False, thresholds=False).changeable


def test_it_is_read_as_it_was_written(tmp_path):
    post = PostProcessing(
        classes=("background", "cell"), thresholds={"cell": 0.35}, parts={"cell": Parts(smallest=8, fill_holes=True)}
    )
    assert postprocessing.load(tmp_path, post.classes, multi_label=False, rank=2) is None
    path = postprocessing.save(str(tmp_path), post)
    assert postprocessing.load(str(tmp_path), post.classes, multi_label=False, rank=2) == post
    assert str(post) == "threshold 0.35 of cell; holes of cell filled; cell below 8 pixels removed"
    with pytest.raises(UserError, match="is of another model: it has the classes background, cell"):
        postprocessing.load(str(tmp_path), ("background", "nucleus"), multi_label=False, rank=2)
    with open(path, "w", encoding="utf-8") as file:
        file.write("{}")
    with pytest.raises(UserError, match="is no post-processing"):
        postprocessing.load(str(tmp_path), post.classes, multi_label=False, rank=2)


def test_a_mask_that_is_too_large_is_refused_in_words(monkeypatch):
    monkeypatch.setattr(postprocessing, "LARGEST_LABELLED", 30)
    with pytest.raises(UserError, match="a.png has 35 pixels.*up to 30.*predict.postprocessing=false"):
        made(largest=True)(MASK, name="a.png")
    only = dataclasses.replace(made(), thresholds={})
    assert only(MASK) is MASK, "a threshold alone needs no whole mask"


def test_image_counts_of_what_is_processed():
    steps = made(largest=True).steps()
    counts = image_counts(confusion_of(MASK, processed(MASK, steps), 3, 255))
    assert counts[1].tolist() == [9, 10, 9]
