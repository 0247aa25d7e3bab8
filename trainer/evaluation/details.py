"""What an evaluation keeps besides the means: the network's confidence and accuracy, and the objects that it found.

The device counts in bins, the host in whole numbers, so that everything adds up over images, replicas and workers.

  reliability       pixels by the probability of the predicted class: how often that class is right (Guo et al., 2017,
                    "On Calibration of Modern Neural Networks": the expected calibration error, with ten bins)
  precision_recall  of each class, pixel by pixel, at a hundred thresholds of its probability
  objects           connected parts of a class in the label (neighbours across corners included) by their size, each
                    with the intersection over union with the part of the prediction that shares most pixels with it;
                    found is one with more than one half, invented a predicted part that shares no pixel with the
                    label's class
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from scipy import ndimage

from trainer.prediction.postprocessing import LARGEST_LABELLED
from trainer.reporting.panels import background_ids
from trainer.stepping.segmentation import predicted, probabilities

# Bins of a probability, each 0.01 wide; the last one includes 1.0.
BINS = 100
# Bins of the reliability diagram, each made of ten of those.
RELIABILITY_BINS = 10
# An object of n pixels is in size bin log2(n), rounded down.
SIZE_BINS = 32
# Sums of fractions are kept in these units: whole numbers have the same sum in any order, also over workers.
_UNIT = 2**-20
# Values of [pixels, classes] counted at a time, so that a large image's temporary arrays stay small.
_AT_A_TIME = 2**22


def probability_counts(labels, logits, classes: int, void_id: int, multi_label: bool = False) -> dict[str, tf.Tensor]:
    """Counts an image's pixels by their predicted probabilities, on the device.

    Args:
      labels: int `[1, height, width]`; void, and anything else outside 0..classes-1, is not counted. For classes that
        overlap `[1, height, width, classes]` of 0 and 1, or void.
      logits: `[1, height, width, outputs]`, one output for two classes, or one for each class.
      classes: number of classes.
      void_id: the id of pixels that are not counted.
      multi_label: whether classes overlap: then each is decided by itself, and each decision counts as a pixel.

    Returns:
      "by_class": int64 `[classes, 2, BINS]`, pixels of other classes, and of this class, by its probability;
      "confidence": float64 `[BINS, 3]`, by the probability of the predicted class: pixels, correct ones, and the sum of
      the probability.
    """
    label = tf.reshape(tf.cast(labels, tf.int32), [-1, classes] if multi_label else [-1])
    most = 2 if multi_label else classes
    label = tf.where((label == void_id) | (label < 0) | (label >= most), -1, label)
    logits = tf.reshape(logits, [-1, logits.shape[-1]])
    block = max(1, _AT_A_TIME // classes)
    offsets = tf.range(classes, dtype=tf.int32) * (2 * BINS)

    def add(start, by_class, confidence):
        true, part = label[start : start + block], logits[start : start + block]
        probability = probabilities(part, multi_label)
        bins = tf.clip_by_value(tf.cast(probability * BINS, tf.int32), 0, BINS - 1)
        if multi_label:
            known, is_class = true >= 0, tf.maximum(true, 0)
            decided = predicted(part, True)
            sure, right = tf.maximum(probability, 1.0 - probability), decided == true
        else:
            known = true[:, None] >= 0
            is_class = tf.cast(true[:, None] == tf.range(classes)[None], tf.int32)
            sure, right = tf.reduce_max(probability, axis=-1, keepdims=True), (predicted(part, False) == true)[:, None]
        # Negative positions are dropped.
        places = tf.where(known, offsets + is_class * BINS + bins, -1)
        counted = tf.math.unsorted_segment_sum(tf.ones_like(places), places, classes * 2 * BINS)
        sure_bins = tf.where(known, tf.clip_by_value(tf.cast(sure * BINS, tf.int32), 0, BINS - 1), -1)
        right = tf.cast(right, tf.float64)
        # float64: sums of millions of float32 would stop growing.
        values = tf.stack([tf.ones_like(right), right, tf.cast(sure, tf.float64)], axis=-1)
        summed = tf.math.unsorted_segment_sum(values, sure_bins, BINS)
        return start + block, by_class + tf.cast(counted, tf.int64), confidence + summed

    begin = (0, tf.zeros([classes * 2 * BINS], tf.int64), tf.zeros([BINS, 3], tf.float64))
    _, by_class, confidence = tf.while_loop(
        lambda start, *_: start < tf.shape(label)[0], add, begin, parallel_iterations=1, maximum_iterations=None
    )
    return {"by_class": tf.reshape(by_class, [classes, 2, BINS]), "confidence": confidence}


def objects_of(label: np.ndarray, prediction: np.ndarray, class_id: int) -> tuple[np.ndarray, np.ndarray, int]:
    """The objects of a class in one image.

    Args:
      label, prediction: class ids, of the same shape; 2 or 3 dimensions.
      class_id: the class.

    Returns:
      the label's objects' sizes in pixels, int64 `[objects]`; the intersection over union of each with the predicted
      part that shares most pixels with it, float64 `[objects]`, 0 where none does; and how many predicted parts share
      no pixel with the label's class.
    """
    structure = np.ones([3] * label.ndim, bool)
    objects, count = ndimage.label(label == class_id, structure)
    parts, predicted = ndimage.label(prediction == class_id, structure)
    sizes = np.bincount(objects.ravel(), minlength=count + 1)[1:]
    part_sizes = np.bincount(parts.ravel(), minlength=predicted + 1)[1:]
    both = (objects > 0) & (parts > 0)
    pairs, shared = np.unique(np.stack([objects[both], parts[both]]), axis=1, return_counts=True)
    best = np.zeros(count)
    most = np.zeros(count, np.int64)
    for (number, part), pixels in zip((pairs - 1).T.tolist(), shared.tolist(), strict=True):
        if pixels > most[number]:
            most[number] = pixels
            best[number] = pixels / (sizes[number] + part_sizes[part] - pixels)
    return sizes, best, predicted - len(np.unique(pairs[1]))


def digest(label: np.ndarray) -> int:
    """A number that labels with other shapes or class ids share only by a chance of one in four billion."""
    label = np.ascontiguousarray(label, np.int32)
    return zlib.crc32(label.tobytes(), zlib.crc32(repr(label.shape).encode()))


class Details:
    """Sums over the images of an evaluation; see the module's docstring.

    Args:
      images: the number in the split.
      classes: names, by class id.
      void_id: the id of pixels that do not count.
      multi_label: whether classes overlap.
    """

    # Counts that are added up over workers.
    SUMMED = ("by_class", "confidence", "found", "invented", "labels", "unlabelled")

    def __init__(self, images: int, classes: Sequence[str], void_id: int, multi_label: bool = False):
        self._classes, self._void, self._multi_label = tuple(classes), void_id, multi_label
        count = len(self._classes)
        background = () if multi_label else background_ids(self._classes)
        self._foreground = [c for c in range(count) if c not in background]
        self.by_class = np.zeros([count, 2, BINS], np.int64)
        self.confidence = np.zeros([BINS, 3], np.int64)
        # Objects, found objects, the sum of their intersections over unions.
        self.found = np.zeros([count, SIZE_BINS, 3], np.int64)
        self.invented = np.zeros([count], np.int64)
        self.labels = np.zeros([images], np.int64)
        self.unlabelled = np.zeros([1], np.int64)

    def add(self, position: int, numbers: Mapping, label: np.ndarray, prediction: np.ndarray) -> None:
        """Counts one image, given its position in the split, its `probability_counts` and its class ids."""
        self.by_class += np.asarray(numbers["by_class"])
        self.confidence += np.rint(np.asarray(numbers["confidence"]) / (1, 1, _UNIT)).astype(np.int64)
        self.labels[position] = digest(label)
        if label.size > LARGEST_LABELLED:
            self.unlabelled += 1
            return
        # A prediction on void is neither correct nor wrong.
        prediction = np.where(label == self._void, -1, prediction)
        if not self._multi_label:
            present = {*np.unique(label).tolist(), *np.unique(prediction).tolist()}
        for class_id in self._foreground:
            if self._multi_label:
                found = objects_of(label[..., class_id], prediction[..., class_id], 1)
            elif class_id in present and class_id != self._void:
                found = objects_of(label, prediction, class_id)
            else:
                continue
            sizes, overlaps, invented = found
            bins = np.minimum(np.log2(np.maximum(sizes, 1)).astype(int), SIZE_BINS - 1)
            values = np.stack([np.ones_like(overlaps), overlaps > 0.5, overlaps / _UNIT], axis=-1)
            np.add.at(self.found[class_id], bins, np.rint(values).astype(np.int64))
            self.invented[class_id] += invented

    def to_dict(self) -> dict:
        """Its entries in evaluation.json: "reliability", "precision_recall", "objects"."""
        return {
            "reliability": self._reliability(),
            "precision_recall": self._precision_recall(),
            "objects": self._objects(),
        }

    def _reliability(self) -> dict:
        bins = self.confidence.reshape(RELIABILITY_BINS, -1, 3).sum(axis=1) * (1, 1, _UNIT)
        total, found = bins[:, 0].sum(), []
        for number, (pixels, right, sure) in enumerate(bins.tolist()):
            found.append(
                {
                    "from": number / RELIABILITY_BINS,
                    "to": (number + 1) / RELIABILITY_BINS,
                    "pixels": int(pixels),
                    "confidence": sure / pixels if pixels else math.nan,
                    "accuracy": right / pixels if pixels else math.nan,
                }
            )
        gaps = [abs(right - sure) for _, right, sure in bins.tolist()]
        error = math.fsum(gaps) / total if total else math.nan
        return {"expected_calibration_error": error, "bins": found}

    def _precision_recall(self) -> dict:
        """For each class, its true and false positive pixels at each threshold, rising."""
        above = self.by_class[..., ::-1].cumsum(axis=-1)[..., ::-1]
        return {
            "thresholds": [number / BINS for number in range(BINS)],
            "true_positives": {name: above[c, 1].tolist() for c, name in enumerate(self._classes)},
            "false_positives": {name: above[c, 0].tolist() for c, name in enumerate(self._classes)},
        }

    def _objects(self) -> dict:
        by_class = {}
        for class_id in self._foreground:
            rows = (self.found[class_id] * (1, 1, _UNIT)).tolist()
            by_class[self._classes[class_id]] = {
                "objects": int(sum(count for count, _, _ in rows)),
                "found": int(sum(found for _, found, _ in rows)),
                "invented": int(self.invented[class_id]),
                "by_size": [
                    {
                        "from_pixels": 2**number,
                        "below_pixels": 2 ** (number + 1),
                        "objects": int(count),
                        "found": int(found),
                        "mean_iou": overlap / count,
                    }
                    for number, (count, found, overlap) in enumerate(rows)
                    if count
                ],
            }
        return {"images_too_large": int(self.unlabelled[0]), "classes": by_class}
