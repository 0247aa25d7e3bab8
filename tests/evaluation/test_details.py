"""An evaluation's details besides its means, compared with NumPy and by hand."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.evaluation import details as module
from trainer.evaluation.details import BINS, Details, digest, objects_of, probability_counts

CLASSES = ("background", "cell", "wall")


def counted(label, probability):
    """The same by loops: `[classes, 2, BINS]` and `[BINS, 3]`."""
    by_class, confidence = np.zeros([3, 2, BINS], int), np.zeros([BINS, 3])
    for true, row in zip(label.ravel(), probability.reshape(-1, 3), strict=True):
        if 0 <= true < 3:
            for c, p in enumerate(row):
                by_class[c, int(true == c), min(int(p * BINS), BINS - 1)] += 1
            best = row.max()
            confidence[min(int(best * BINS), BINS - 1)] += (1, row.argmax() == true, best)
    return by_class, confidence


def test_pixels_are_counted_by_their_probability_whatever_the_blocks(monkeypatch):
    random = np.random.default_rng(0)
    label = random.choice([0, 1, 2, 255, -1], (1, 13, 17))
    logits = random.normal(0, 3, (1, 13, 17, 3)).astype(np.float32)
    by_class, confidence = counted(label, tf.nn.softmax(logits).numpy())
    for at_a_time in (30, 10**6):
        monkeypatch.setattr(module, "_AT_A_TIME", at_a_time)
        found = probability_counts(tf.constant(label), tf.constant(logits), 3, 255)
        assert (found["by_class"].numpy() == by_class).all()
        assert found["confidence"].numpy() == pytest.approx(confidence)


def test_classes_that_overlap_are_decided_each_by_itself():
    label = np.array([[[[1, 0], [1, 1], [255, 0]]]])
    logits = np.array([[[[9.0, 9.0], [-9.0, 9.0], [9.0, -9.0]]]], np.float32)
    found = probability_counts(tf.constant(label), tf.constant(logits), 2, 255, multi_label=True)
    high, low = BINS - 1, 0
    by_class = found["by_class"].numpy()
    assert by_class[0, 1, [low, high]].tolist() == [1, 1] and by_class[0].sum() == 2
    assert by_class[1, 0, [low, high]].tolist() == [1, 1] and by_class[1, 1, high] == 1
    assert found["confidence"].numpy()[high, :2].tolist() == [5, 3]
    details = Details(1, ("cell", "nucleus"), 255, multi_label=True)
    planes = np.zeros((6, 6, 2), np.int32)
    planes[:2, :2] = 1
    details.add(0, {name: value.numpy() for name, value in found.items()}, planes, planes)
    objects = details.to_dict()["objects"]["classes"]
    assert [(name, each["objects"], each["found"]) for name, each in objects.items()] == [
        ("cell", 1, 1),
        ("nucleus", 1, 1),
    ]


def test_one_logit_is_two_classes():
    label = tf.constant([[[0, 1, 1]]])
    found = probability_counts(label, tf.constant([[[[-30.0], [30.0], [-30.0]]]]), 2, 255)
    assert found["by_class"].numpy()[1, 1, [0, BINS - 1]].tolist() == [1, 1]
    assert found["confidence"].numpy()[BINS - 1].tolist() == [3, 2, 3]


def test_reliability_of_a_network_that_is_too_sure():
    """Sure by 0.95 and right three times in four: off by 0.2."""
    details = Details(1, CLASSES, 255)
    mask = np.zeros((2, 2), np.int32)
    confidence = np.zeros([BINS, 3])
    confidence[95] = 8, 6, 8 * 0.95
    details.add(0, {"by_class": np.zeros([3, 2, BINS], int), "confidence": confidence}, mask, mask)
    found = details.to_dict()["reliability"]
    assert found["expected_calibration_error"] == pytest.approx(0.2, abs=1e-6)
    last = found["bins"][-1]
    assert (last["from"], last["to"], last["pixels"], last["accuracy"]) == (0.9, 1.0, 8, 0.75)
    assert last["confidence"] == pytest.approx(0.95, abs=1e-6)


def test_objects_found_missed_and_invented():
    label, prediction = np.zeros((9, 9), int), np.zeros((9, 9), int)
    label[0:2, 0:2] = 1  # 4 pixels, of which one neighbour across a corner makes 5
    label[2, 2] = 1
    label[6:8, 6:8] = 1  # missed
    prediction[0:2, 0:3] = 1  # 4 of 5 shared, 6 predicted: 4 / 7
    prediction[5, 0] = 1  # invented
    sizes, overlaps, invented = objects_of(label, prediction, 1)
    assert sizes.tolist() == [5, 4] and overlaps.tolist() == [pytest.approx(4 / 7), 0.0] and invented == 1
    nothing = np.zeros((4, 4), int)
    assert [len(part) for part in objects_of(nothing, nothing, 1)[:2]] == [0, 0]
    assert objects_of(nothing, nothing + 1, 1)[2] == 1


def test_objects_add_up_by_class_and_size_and_void_is_no_prediction():
    details = Details(2, CLASSES, 255)
    numbers = {"by_class": np.zeros([3, 2, BINS], int), "confidence": np.zeros([BINS, 3])}
    label = np.zeros((6, 6), np.int32)
    label[0:2, 0:4] = 1  # 8 pixels
    label[4:, :] = 255
    prediction = np.zeros((6, 6), np.int32)
    prediction[0:2, 0:4] = 1
    prediction[5, 5] = 2
    for position in (0, 1):
        details.add(position, numbers, label, prediction)
    found = details.to_dict()["objects"]
    row = {"from_pixels": 8, "below_pixels": 16, "objects": 2, "found": 2, "mean_iou": 1.0}
    assert found["classes"]["cell"] == {"objects": 2, "found": 2, "invented": 0, "by_size": [row]}
    assert found["classes"]["wall"] == {"objects": 0, "found": 0, "invented": 0, "by_size": []}
    assert "background" not in found["classes"]
    assert details.labels[0] == details.labels[1] == digest(label)


def test_a_digest_is_of_shape_and_ids():
    assert digest(np.zeros((2, 8), np.int32)) != digest(np.zeros((4, 4), np.int32))
    assert digest(np.zeros((4, 4), np.int64)) == digest(np.zeros((4, 4), np.int32))
    assert digest(np.eye(4)) != digest(np.zeros((4, 4)))
