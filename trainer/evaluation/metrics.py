"""Dice, IoU and pixel accuracy: whole-number counts on the device, ratios from them in float64.

The device only counts: a confusion matrix for each image, in integers, so that no order of summation, number of
replicas or dtype policy changes a score. The scores are:

  dice[class]    2 |label ∩ prediction| / (|label| + |prediction|) of each image, averaged over the counted images
  iou[class]     |label ∩ prediction| / |label ∪ prediction|, likewise
  *_pooled       the same ratio for the pixels of all images together: large objects weigh more
  pixel_accuracy the share of pixels whose predicted class is their label's

**Empty masks.** An image in which neither label nor prediction has the class says nothing about it and is not counted
for that class; one that has the class in only one of them counts as 0. `counted` is the number of images in each mean.
Pixels of the void class are not counted. A score without any image is NaN, and `null` in JSON. Classes that overlap
are scored one by one, a pixel being of the class or not.

References: Dice (1945), "Measures of the amount of ecologic association between species"; Jaccard (1901). The pooled
mean IoU is that of Pascal VOC (Everingham et al., 2010, section 4.2).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.errors import UserError
from trainer.evaluation.volume_scores import VolumeScores
from trainer.reporting.terminal import evaluation_table, volume_table
from trainer.stepping.segmentation import class_ids

# Images named in `Evaluation.worst`.
WORST_IMAGES = 10


def scored_classes(classes: Sequence[str], chosen: Sequence[str] = (), multi_label: bool = False) -> tuple[str, ...]:
    """The classes whose scores enter the means: the chosen ones, or the second (foreground) of two, or all of more.

    Classes that overlap have no background: all count.
    """
    return tuple(chosen) or tuple(classes[1:] if len(classes) == 2 and not multi_label else classes)


def confusion_matrices(labels, predictions, classes: int, void_id: int):
    """Counts the pixels of each (label, prediction) pair, image by image, on the device.

    Args:
      labels: int `[batch, height, width]`; void, and anything else outside 0..classes-1, is not counted.
      predictions: int `[batch, height, width]` class ids, or float logits `[batch, height, width, outputs]`.
      classes: number of classes.
      void_id: the id of pixels that are not counted, even if a class has it.

    Returns:
      int64 `[batch, classes, classes]`; row = label, column = prediction.
    """
    if predictions.shape.rank == 4:
        predictions = class_ids(predictions)
    # one_hot of -1 is all zeros, which takes void out of both factors' product.
    labels = tf.where(labels == void_id, -1, tf.cast(labels, tf.int32))
    label_rows = tf.one_hot(labels, classes, dtype=tf.float32)
    prediction_rows = tf.one_hot(predictions, classes, dtype=tf.float32)
    # A row of pixels at a time in float32, where sums of ones are exact up to 2^24; the rows are added in int64.
    # (bincount would do, but refuses determinism on a GPU.)
    row_counts = tf.linalg.matmul(label_rows, prediction_rows, transpose_a=True)
    return tf.reduce_sum(tf.cast(tf.round(row_counts), tf.int64), axis=1)


def overlapping_counts(labels, predictions, void_id: int):
    """For classes that overlap: counts the pixels in and outside each, image by image, on the device.

    Args:
      labels: int `[batch, height, width, classes]`, 1 or 0; void is not counted.
      predictions: likewise.
      void_id: the id of pixels that are not counted.

    Returns:
      int64 `[batch, classes, 2, 2]`; row = label (outside the class, in it), column = prediction.
    """
    valid = labels != void_id
    cells = [
        [valid & ((labels == 1) == bool(row)) & ((predictions == 1) == bool(column)) for column in (0, 1)]
        for row in (0, 1)
    ]

    def count(mask):
        # A row of pixels at a time in float32, as above.
        rows = tf.reduce_sum(tf.cast(mask, tf.float32), axis=2)
        return tf.reduce_sum(tf.cast(rows, tf.int64), axis=1)

    return tf.stack([tf.stack([count(mask) for mask in row], axis=-1) for row in cells], axis=-2)


def confusion_of(label: np.ndarray, prediction: np.ndarray, classes: int, void_id: int, multi_label: bool = False):
    """The counts of a single image or volume, on the host; void, and other ids than classes, are not counted.

    Args:
      label, prediction: class ids `[…]`; for classes that overlap 0 and 1, `[…, classes]`.

    Returns:
      int64 NumPy `[classes, classes]`; row = label, column = prediction; `[classes, 2, 2]` for classes that overlap.
    """
    if multi_label:
        planes = range(classes)
        return np.stack([confusion_of(label[..., c], prediction[..., c], 2, void_id) for c in planes])
    counts = np.zeros(classes * classes, np.int64)
    # Row by row, or slice by slice: pairs of a whole volume would take eight bytes a voxel.
    for labels, predictions in zip(label, prediction, strict=True):
        valid = (labels != void_id) & (labels >= 0) & (labels < classes)
        pairs = labels[valid].astype(np.int64) * classes + predictions[valid]
        counts += np.bincount(pairs, minlength=classes * classes)
    return counts.reshape(classes, classes)


def image_counts(confusions, multi_label: bool = False):
    """The counts behind the scores: int64 `[..., classes, classes]` (or `[..., classes, 2, 2]`) -> `[..., classes, 3]`.

    The last axis is (pixels common to label and prediction, the label's pixels, the prediction's).
    """
    if multi_label:
        true = confusions[..., 1, 1]
        return np.stack([true, true + confusions[..., 1, 0], true + confusions[..., 0, 1]], axis=-1)
    diagonal = np.diagonal(confusions, axis1=-2, axis2=-1)
    return np.stack([diagonal, confusions.sum(axis=-1), confusions.sum(axis=-2)], axis=-1)


def _ratio(numerator, denominator):
    """float64 quotient, NaN where the denominator is 0."""
    numerator, denominator = np.float64(numerator), np.float64(denominator)
    return np.divide(numerator, denominator, out=np.full(np.shape(denominator), np.nan), where=denominator > 0)


def dice_and_iou(counts):
    """The scores of counts `[..., classes, 3]`: two float64 `[..., classes]`, NaN where a class is in neither mask."""
    common, label, prediction = counts[..., 0], counts[..., 1], counts[..., 2]
    return _ratio(2 * common, label + prediction), _ratio(common, label + prediction - common)


def _mean(values) -> float:
    """Mean of the values that are not NaN; NaN without any, and without NumPy's warning."""
    values = [float(v) for v in values if not math.isnan(v)]
    return math.fsum(values) / len(values) if values else math.nan


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores of a model on a set of images, defined in the module's docstring."""

    classes: tuple[str, ...]
    # The classes in the means below.
    scored: tuple[str, ...]
    # Images evaluated.
    images: int
    mean_dice: float
    mean_iou: float
    mean_dice_pooled: float
    mean_iou_pooled: float
    pixel_accuracy: float
    dice: Mapping[str, float]
    iou: Mapping[str, float]
    dice_pooled: Mapping[str, float]
    iou_pooled: Mapping[str, float]
    # Images in each class's mean.
    counted: Mapping[str, int]
    # Pixels by (label, prediction) over all images; for classes that overlap a table of 2 x 2 each.
    confusion: tuple[tuple, ...]
    # The mean validation loss over images; NaN if none was computed.
    loss: float = math.nan
    # (name, Dice averaged over the scored classes) of the images with the lowest scores, lowest first.
    worst: tuple[tuple[str, float], ...] = ()
    # The user's metrics by name.
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    # Columns with a value for each image: "name", "mean_dice" over the scored classes, "loss", "dice" by class; and
    # "label", a digest of the label, which identifies two evaluations of the same images.
    by_image: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    # See `trainer.evaluation.details`.
    reliability: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    precision_recall: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    objects: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    # For each image: name, loss, means over the scored classes, scores by class, the user's metrics; or NaN.
    rows: tuple[Mapping[str, float | str], ...] = ()
    # For volumes: surfaces and millilitres of each scored class and region.
    volumes: Mapping[str, VolumeScores] = dataclasses.field(default_factory=dict)
    # "mean_dice", and "dice/<class>" for each class, of the masks before post-processing, if there is any.
    without_postprocessing: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def score(self, metric: str) -> float:
        """The score named by `config.evaluate.metric`. NaN if no image counts for any scored class."""
        values = {**self.__dict__, **self.scalars(""), **self._surfaces(), **self.metrics}
        if not isinstance(values.get(metric), (int, float)):
            known = [name for name, value in values.items() if isinstance(value, (int, float))]
            raise UserError(f"There is no score {metric!r}. There are {', '.join(known)}.")
        return float(values[metric])

    def _surfaces(self) -> dict[str, float]:
        """For volumes: the means of surface scores over the scored classes."""
        found = [self.volumes[name] for name in self.scored if name in self.volumes]
        names = ("surface_dice", "hausdorff_95_mm") if found else ()
        return {name: _mean(getattr(scores, name) for scores in found) for name in names}

    def in_line(self) -> dict[str, float]:
        """The values to show in one line."""
        return {"Dice": self.mean_dice, "IoU": self.mean_iou, **self.metrics}

    def scalars(self, prefix: str = "eval/") -> dict[str, float]:
        """Tag -> value for TensorBoard and `metrics.jsonl`; NaN (nothing counted) is left out."""
        values = {name: getattr(self, name) for name in ("mean_dice", "mean_iou", "pixel_accuracy", "loss")}
        values |= {f"dice/{name}": value for name, value in self.dice.items()}
        values |= {f"iou/{name}": value for name, value in self.iou.items()}
        for name, scores in self.volumes.items():
            values |= {f"hausdorff_95_mm/{name}": scores.hausdorff_95_mm, f"surface_dice/{name}": scores.surface_dice}
            values |= {f"dice/{name}": scores.dice} if name not in self.dice else {}
        values |= self.metrics
        return {prefix + name: value for name, value in values.items() if not math.isnan(value)}

    def to_dict(self) -> dict:
        """The contents of `evaluation.json`."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "rows"}
        if self.volumes:
            values["volumes"] = {name: dataclasses.asdict(scores) for name, scores in self.volumes.items()}
        else:
            del values["volumes"]
        if not self.without_postprocessing:
            del values["without_postprocessing"]
        return values | {"worst": [{"name": name, "dice": dice} for name, dice in self.worst]}

    def table(self) -> str:
        """The scores of each class as aligned text, with the means below."""
        return evaluation_table(self) + (volume_table(self.volumes) if self.volumes else "")


def evaluation_of(
    counts,
    confusion,
    classes: Sequence[str],
    *,
    chosen: Sequence[str] = (),
    names: Sequence[str] = (),
    losses: Sequence[float] = (),
    metrics: Mapping[str, float] | None = None,
    metrics_by_image: Mapping[str, Sequence[float]] | None = None,
    volumes: Mapping[str, VolumeScores] | None = None,
    plain: np.ndarray | None = None,
    more: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Scores from each image's counts.

    Args:
      counts: int64 NumPy `[images, classes, 3]`, see `image_counts`.
      confusion: int64 NumPy `[classes, classes]`, of all images together; `[classes, 2, 2]` for classes that overlap.
      classes: names, by class id.
      chosen: `config.evaluate.classes`.
      names: the images' names, for the list of the worst.
      losses: the images' losses.
      metrics: the user's, by name.
      metrics_by_image: those measured image by image: name -> a value for each image.
      volumes: for volumes, the scores by class and region.
      plain: as `counts`, for the masks before post-processing, if there is any.
      more: further fields of an `Evaluation`; "labels", a column by image.
    """
    classes = tuple(classes)
    multi_label = confusion.ndim == 3
    scored = scored_classes(classes, chosen, multi_label)
    dice, iou = dice_and_iou(counts)
    positions = [classes.index(name) for name in scored]
    more, worst = dict(more or {}), []
    labels = more.pop("labels", None)
    if names:
        pairs = [(name, _mean(row[positions])) for name, row in zip(names, dice, strict=True)]
        worst = sorted((pair for pair in pairs if not math.isnan(pair[1])), key=lambda pair: (pair[1], pair[0]))
    without = {}
    if plain is not None:
        before = {name: _mean(column) for name, column in zip(classes, dice_and_iou(plain)[0].T, strict=True)}
        without = {"mean_dice": _mean(before[name] for name in scored)}
        without |= {f"dice/{name}": value for name, value in before.items()}
    dice_pooled, iou_pooled = dice_and_iou(image_counts(confusion, multi_label))
    rows = []
    for image, name in enumerate(names):
        row: dict = {"name": name, **({"loss": float(losses[image])} if len(losses) else {})}
        row |= {"mean_dice": _mean(dice[image][positions]), "mean_iou": _mean(iou[image][positions])}
        row |= {f"dice/{name}": float(value) for name, value in zip(classes, dice[image], strict=True)}
        row |= {f"iou/{name}": float(value) for name, value in zip(classes, iou[image], strict=True)}
        rows.append(row | {name: float(values[image]) for name, values in (metrics_by_image or {}).items()})

    def by_class(values):
        return {name: value.item() for name, value in zip(classes, values, strict=True)}

    def means(values):
        return np.array([_mean(column) for column in values.T])

    return Evaluation(
        classes=classes,
        scored=scored,
        images=len(counts),
        mean_dice=_mean(means(dice)[positions]),
        mean_iou=_mean(means(iou)[positions]),
        mean_dice_pooled=_mean(dice_pooled[positions]),
        mean_iou_pooled=_mean(iou_pooled[positions]),
        pixel_accuracy=_ratio(confusion.trace(axis1=-2, axis2=-1).sum(), confusion.sum()).item(),
        dice=by_class(means(dice)),
        iou=by_class(means(iou)),
        dice_pooled=by_class(dice_pooled),
        iou_pooled=by_class(iou_pooled),
        counted=by_class(np.count_nonzero(~np.isnan(dice), axis=0)),
        confusion=_tuples(confusion.tolist()),
        loss=math.fsum(losses) / len(losses) if len(losses) else math.nan,
        worst=tuple(worst[:WORST_IMAGES]),
        metrics=dict(metrics or {}),
        rows=tuple(rows),
        volumes=dict(volumes or {}),
        without_postprocessing=without,
        by_image=_columns(rows, classes) | ({} if labels is None else {"label": [int(value) for value in labels]}),
        **more,
    )


def _tuples(values):
    return tuple(map(_tuples, values)) if isinstance(values, list) else values


def _columns(rows: Sequence[Mapping], classes: Sequence[str]) -> dict[str, Any]:
    """The rows by column, their Dice by class: `Evaluation.by_image`."""
    if not rows:
        return {}
    found: dict[str, Any] = {
        name: [row[name] for row in rows] for name in ("name", "mean_dice", "loss") if name in rows[0]
    }
    return found | {"dice": {name: [row[f"dice/{name}"] for row in rows] for name in classes}}
