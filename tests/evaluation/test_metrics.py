"""Dice and IoU against a plain NumPy count, and what the module's docstring promises about empty masks and void."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.evaluation.metrics import (
    confusion_matrices,
    evaluation_of,
    image_counts,
    scored_classes,
)
from trainer.evaluation.own_metrics import build_metrics
from trainer.stepping.segmentation import class_ids, probabilities

VOID = 255


def confusions_of(labels, predictions, classes):
    return confusion_matrices(tf.constant(labels, tf.int32), tf.constant(predictions, tf.int32), classes, VOID).numpy()


def evaluate(labels, predictions, classes=("background", "cell"), **options):
    confusions = confusions_of(labels, predictions, len(classes))
    return evaluation_of(image_counts(confusions), confusions.sum(axis=0), classes, **options)


def dice_by_sets(label, prediction, class_id):
    """The definition, pixel by pixel, in Python; None where the image does not count."""
    pixels = [(a, b) for a, b in zip(label.ravel(), prediction.ravel(), strict=True) if a != VOID]
    in_label = {i for i, (a, _) in enumerate(pixels) if a == class_id}
    in_prediction = {i for i, (_, b) in enumerate(pixels) if b == class_id}
    if not in_label | in_prediction:
        return None, None
    common = len(in_label & in_prediction)
    return 2 * common / (len(in_label) + len(in_prediction)), common / len(in_label | in_prediction)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(1, 4))
def test_scores_are_their_definition(seed, classes, images):
    random = np.random.default_rng(seed)
    labels = random.choice([*range(classes), VOID], (images, 4, 7), p=[0.8 / classes] * classes + [0.2])
    predictions = random.integers(0, random.integers(1, classes + 1), (images, 4, 7))
    names = tuple(f"class_{n}" for n in range(classes))
    evaluation = evaluate(labels, predictions, names)
    for number, name in enumerate(names):
        pairs = [dice_by_sets(a, b, number) for a, b in zip(labels, predictions, strict=True)]
        dice, iou = ([pair[k] for pair in pairs if pair[k] is not None] for k in (0, 1))
        pooled = dice_by_sets(labels, predictions, number)
        assert evaluation.counted[name] == len(dice)
        for got, expected in [
            (evaluation.dice[name], np.mean(dice) if dice else math.nan),
            (evaluation.iou[name], np.mean(iou) if iou else math.nan),
            (evaluation.dice_pooled[name], math.nan if pooled[0] is None else pooled[0]),
            (evaluation.iou_pooled[name], math.nan if pooled[1] is None else pooled[1]),
        ]:
            assert got == pytest.approx(expected, abs=1e-14, nan_ok=True)
    counted = labels != VOID
    if counted.any():
        assert evaluation.pixel_accuracy == pytest.approx((labels == predictions)[counted].mean(), abs=1e-14)


@pytest.mark.parametrize(
    ("label", "prediction", "dice", "counted"),
    [
        ([[0, 0]], [[0, 0]], math.nan, 0),  # in neither: says nothing
        ([[0, 0]], [[0, 1]], 0.0, 1),  # predicted alone
        ([[0, 1]], [[0, 0]], 0.0, 1),  # labelled alone
        ([[0, 1]], [[0, 1]], 1.0, 1),
        ([[VOID, 1]], [[1, 1]], 1.0, 1),  # predicted on void: does not count
        ([[VOID, 0]], [[1, 0]], math.nan, 0),  # predicted on void alone: in neither
        ([[VOID, VOID]], [[1, 1]], math.nan, 0),
    ],
)
def test_empty_masks_and_void(label, prediction, dice, counted):
    evaluation = evaluate([label], [prediction])
    assert evaluation.dice["cell"] == pytest.approx(dice, nan_ok=True)
    assert evaluation.counted["cell"] == counted
    assert evaluation.mean_dice == pytest.approx(dice, nan_ok=True)


def test_an_empty_image_does_not_dilute_the_mean():
    labels = [[[1, 1]], [[0, 0]], [[1, 0]]]
    predictions = [[[1, 0]], [[0, 0]], [[1, 0]]]
    evaluation = evaluate(labels, predictions)
    assert evaluation.dice["cell"] == pytest.approx((2 / 3 + 1) / 2)
    assert evaluation.counted == {"background": 3, "cell": 2}
    assert evaluation.images == 3


def test_counts_are_exact_beyond_float32():
    """More than 2^24 pixels of one pair: a float32 sum of ones stops at 16,777,216."""
    side = 4100
    label = np.ones((1, side, side), np.int32)
    label[0, 0, 0] = 0
    confusion = confusions_of(label, np.ones_like(label), 2)
    assert confusion.dtype == np.int64
    assert confusion[0].tolist() == [[0, 1], [0, side * side - 1]]


def test_ids_outside_the_classes_count_nowhere():
    assert confusions_of([[[0, 7, -1, 1]]], [[[0, 1, 1, 1]]], 2)[0].tolist() == [[1, 0], [0, 1]]


def test_a_void_id_inside_the_classes_is_void():
    confusion = confusion_matrices(tf.constant([[[0, 1, 2]]]), tf.constant([[[0, 1, 1]]]), 3, void_id=0)
    assert confusion.numpy()[0].tolist() == [[0, 0, 0], [0, 1, 0], [0, 1, 0]]


def test_the_background_of_two_stays_out_of_the_mean():
    assert scored_classes(("background", "cell")) == ("cell",)
    assert scored_classes(("a", "b", "c")) == ("a", "b", "c")
    assert scored_classes(("a", "b", "c"), ("b",)) == ("b",)
    labels, predictions = [[[0, 0, 1, 2]]], [[[0, 1, 1, 2]]]
    chosen = evaluate(labels, predictions, ("a", "b", "c"), chosen=("a", "c"))
    assert chosen.mean_dice == pytest.approx((chosen.dice["a"] + chosen.dice["c"]) / 2)
    assert chosen.mean_dice_pooled == pytest.approx((chosen.dice_pooled["a"] + chosen.dice_pooled["c"]) / 2)


def test_the_worst_images_come_first():
    labels = [[[0, 1]]] * 3 + [[[0, 0]]]
    predictions = [[[0, 1]], [[1, 0]], [[1, 1]], [[0, 0]]]
    evaluation = evaluate(labels, predictions, names=["good", "bad", "fair", "empty"])
    assert [name for name, _ in evaluation.worst] == ["bad", "fair", "good"]
    assert evaluation.worst[0][1] == 0.0


def test_scalars_leave_out_what_nothing_counted():
    scalars = evaluate([[[0, 0]]], [[[0, 0]]]).scalars()
    assert scalars == {"eval/pixel_accuracy": 1.0, "eval/dice/background": 1.0, "eval/iou/background": 1.0}


def test_no_image_at_all_is_not_a_number():
    evaluation = evaluation_of(np.zeros((0, 2, 3), np.int64), np.zeros((2, 2), np.int64), ("background", "cell"))
    assert math.isnan(evaluation.mean_dice) and math.isnan(evaluation.pixel_accuracy)
    assert evaluation.images == 0


@pytest.mark.parametrize("outputs", [1, 2, 4])
def test_class_ids_and_probabilities_agree(outputs):
    logits = tf.random.stateless_normal([2, 3, 5, outputs], [1, outputs])
    found = probabilities(logits)
    assert found.shape == (2, 3, 5, max(2, outputs))
    np.testing.assert_allclose(tf.reduce_sum(found, -1), 1.0, atol=1e-6)
    assert (tf.argmax(found, -1).numpy() == class_ids(logits).numpy()).all()


def test_a_logit_of_zero_is_the_first_class():
    assert class_ids(tf.zeros([1, 1, 1, 1])).numpy().item() == class_ids(tf.zeros([1, 1, 1, 2])).numpy().item() == 0


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (lambda label, prediction: 10 * label + prediction, 12),
        (lambda a, b: 10 * a + b, 12),
        # By their names, wherever they stand.
        (lambda prediction, label: 10 * label + prediction, 12),
        (lambda y_pred, y_true, weight: 100 * y_true + 10 * y_pred + weight, 125),
        (lambda prediction, weight: 10 * prediction + weight, 25),
        # A key of the example is that key, also where a label is expected.
        (lambda weight, prediction: 10 * prediction + weight, 25),
        (lambda weight, a, b: 100 * a + 10 * b + weight, 125),
        (lambda label, found, *, weight: 100 * label + 10 * found + weight, 125),
        (lambda a, b, /, weight: 100 * a + 10 * b + weight, 125),
        (lambda prediction: prediction, 2),
    ],
)
def test_what_a_metric_of_ones_own_is_called_with(function, value):
    (metric,) = build_metrics({"own": function}, keys=["image", "label", "weight"])
    assert metric.of_image({"label": 1, "prediction": 2, "weight": 5}) == value
