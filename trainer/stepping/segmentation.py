"""The built-in task: one model, whose logits are compared with the labels."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from configs.schema import Config
from trainer.models.inputs import call_model
from trainer.stepping.objective import Objective
from trainer.stepping.task import Outcome, Task

# Up to this many classes the largest logit is found by comparing one after the other.
_FEW = 8


class Segmentation(Task):
    """Forward pass and loss, and the hard Dice of the training crops for the report.

    Args:
      model: from images to logits; see `trainer.models`.
      objective: from labels and logits to the terms of the loss.
      config: `data.void_id` is read.
      classes: names, by class id.
      scored: positions of the classes whose Dice is reported.
    """

    def __init__(
        self, model: keras.Model, objective: Objective, config: Config, classes: Sequence[str], scored: Sequence[int]
    ):
        self.model, self.objective = model, objective
        self._void, self._classes, self._scored = config.data.void_id, tuple(classes), tuple(scored)
        self._multi_label = config.data.multi_label

    def with_model(self, model: keras.Model) -> Segmentation:
        """The same task with another model, for evaluation."""
        other = copy.copy(self)
        other.model = model
        return other

    @property
    def batchwide(self) -> bool:
        # The user's function may call `global_sum`, which its signature does not show.
        return None if self.objective.own is not None else self.objective.batchwide

    def losses(self, batch, training):
        return self.outcome(batch, training).terms

    def outcome(self, batch: Mapping[str, tf.Tensor], training: bool, phase: str = "") -> Outcome:
        outputs = call_model(self.model, batch, training=training)
        return Outcome(self.objective(batch["label"], outputs, batch), self._dice(batch["label"], outputs))

    def predict(self, batch) -> Any:
        return call_model(self.model, batch, training=False)

    @tf.autograph.experimental.do_not_convert
    def _dice(self, labels, outputs) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        logits = tf.stop_gradient(outputs[0] if isinstance(outputs, (list, tuple)) else outputs)
        decided, valid, ratios = predicted(logits, self._multi_label), labels != self._void, {}
        for c in self._scored:
            if self._multi_label:
                label, prediction = labels[..., c] == 1, (decided[..., c] == 1) & valid[..., c]
            else:
                label, prediction = labels == c, (decided == c) & valid
            shared, sizes = _count(label & prediction), _count(label) + _count(prediction)
            ratios[f"dice/{self._classes[c]}"] = (2.0 * shared, sizes)
        return ratios


@tf.autograph.experimental.do_not_convert
def predicted(logits, multi_label: bool, cuts: Sequence[float] = ()) -> tf.Tensor:
    """What logits `[..., outputs]` decide: class ids, int32 `[...]`; of classes that overlap 0 and 1 for each.

    Args:
      logits: one output for two classes or one a class.
      multi_label: whether classes overlap.
      cuts: logits above which a class is there: one for each class that overlaps; of two classes one, for the second.
        Empty: 0, a probability of one half. More classes are decided by the largest.
    """
    if multi_label:
        return tf.cast(logits > (tf.constant(cuts, logits.dtype) if len(cuts) else 0.0), tf.int32)
    return class_ids(logits, *cuts)


def probabilities(logits, multi_label: bool = False):
    """float32 `[batch, height, width, classes]` that sum to 1, from logits with one output (sigmoid) or one a class.

    Of classes that overlap each is a probability of its own, and they sum to nothing in particular.
    """
    logits = tf.cast(logits, tf.float32)
    if multi_label:
        return tf.sigmoid(logits)
    if logits.shape[-1] == 1:
        return tf.concat([tf.sigmoid(-logits), tf.sigmoid(logits)], axis=-1)
    return tf.nn.softmax(logits)


def class_ids(logits, cut: float = 0.0) -> tf.Tensor:
    """The class of each pixel, int32 without the last axis: of the largest logit, the first of equal ones."""
    outputs = logits.shape[-1]
    if outputs == 1:
        return tf.cast(logits[..., 0] > cut, tf.int32)
    if outputs == 2 and cut:
        return tf.cast(logits[..., 1] - logits[..., 0] > cut, tf.int32)
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
