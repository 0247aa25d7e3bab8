"""What a run reports between two lines of its log, summed up on the device and read by the host once."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from configs.schema import Config

# Classes up to which the largest logit is found by comparing in turn.
_FEW = 8


class Totals:
    """Sums over the steps since the last `read`.

    A step's report is one float32 vector: the loss, its parts, then for each scored class the pixels that label and
    prediction share and the sum of their sizes, from which the hard Dice of the batches is made. One vector is one
    operation to reduce over replicas and one to add up.
    """

    def __init__(self, parts: tuple[str, ...], scored_classes: tuple[int, ...], config: Config):
        self._parts, self._scored, self._void = parts, scored_classes, config.data.void_id
        self._length = 1 + len(parts) + 2 * len(scored_classes)
        # Two more: the gradient's norm, and the number of steps.
        self._sums = tf.Variable(
            tf.zeros(self._length + 2, tf.float64), trainable=False, name="report",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )  # fmt: skip

    def of_micro_batch(self, loss, parts: dict[str, tf.Tensor], labels, outputs) -> tf.Tensor:
        """The report of one micro-batch on one replica: float32 `[1 + parts + 2 * classes]`."""
        logits = tf.stop_gradient(outputs[0] if isinstance(outputs, (list, tuple)) else outputs)
        predicted = _class_ids(logits)
        valid = labels != self._void
        counts = []
        for c in self._scored:
            label, prediction = labels == c, (predicted == c) & valid
            counts += [_count(label & prediction), _count(label) + _count(prediction)]
        values = [tf.cast(v, tf.float32) for v in (loss, *(parts[name] for name in self._parts), *counts)]
        return tf.stop_gradient(tf.stack(values))

    def add(self, report, norm, finite) -> None:
        """Adds one step; a step that was left out counts for nothing."""
        row = tf.cast(tf.concat([report, [norm, 1.0]], 0), tf.float64)
        self._sums.assign_add(tf.where(finite, row, tf.zeros_like(row)))

    def sums(self) -> list[float]:
        """What has been added up since the last `read`, to be kept in a checkpoint."""
        return self._sums.numpy().tolist()

    def restore(self, sums: Sequence[float]) -> None:
        """Goes on with sums of this loss; those of another one are dropped, and the next report counts from here."""
        fits = len(sums) == self._length + 2
        self._sums.assign(sums if fits else tf.zeros_like(self._sums))

    def read(self) -> dict[str, float]:
        """Means since the last call: "loss", "loss/<part>", "gradient_norm", and "dice"; empty if there was no step."""
        sums = self._sums.numpy()
        self._sums.assign(tf.zeros_like(sums))
        steps = sums[-1]
        if not steps:
            return {}
        means = sums[:-1] / steps
        report = {"loss": float(means[0])}
        if len(self._parts) > 1:
            report |= {f"loss/{name}": float(v) for name, v in zip(self._parts, means[1:], strict=False)}
        shared, sizes = means[1 + len(self._parts) : -1 : 2], means[2 + len(self._parts) : -1 : 2]
        scores = [2.0 * a / b for a, b in zip(shared, sizes, strict=True) if b]
        if scores:
            report["dice"] = float(sum(scores) / len(scores))
        report["gradient_norm"] = float(means[-1])
        return report


def _class_ids(logits) -> tf.Tensor:
    """The class of each pixel, int32 without the last axis: of the largest logit, the first of equal ones."""
    outputs = logits.shape[-1]
    if outputs == 1:
        return tf.cast(logits[..., 0] > 0.0, tf.int32)
    if outputs > _FEW:
        return tf.argmax(logits, axis=-1, output_type=tf.int32)
    # On a CPU, argmax over a short last axis takes ten times as long as this, one percent of a U-Net's step.
    best, *others = tf.unstack(logits, axis=-1)
    ids = tf.zeros_like(best, tf.int32)
    for c, other in enumerate(others, start=1):
        ids = tf.where(other > best, c, ids)
        best = tf.maximum(best, other)
    return ids


def _count(mask) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(mask, tf.float32))
