"""One checked call of a loss: what `losses.engine.contract.prepare` returns and every loss reads."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from .sums import Flags, activate, neutral


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """One checked call of a loss. Shapes: b = batch, c = classes of y_pred, k = classes that count.

    loss: the loss's name, for messages.
    scores: y_pred as given, `[b, *space, c]`; logits unless `activation` is None. May hold NaN where ignored.
    activation: "softmax", "sigmoid" or None for probabilities.
    ids: `[b, *space]` int32, 0 where ignored; or None where labels are dense.
    dense: `[b, *space, c]` labels in the type they came in, 0 where ignored; or None where labels are ids.
    valid: `[b, *space, 1]` (or c: multi-label data may ignore single elements) bool; None if everything counts.
    pixel_weights: `[b, *space, 1]` in `dtype`, or None.
    image_weights: `[b]` float64, or None.   class_weights: `[k]` float64, or None.
    classes: the k class indices that count, ascending as given.
    over: "image" or "batch", what is summed over.   reduction: "mean", "sum" or "none".
    all_reduce: this replica's sums to the global batch's, or None.
    fused: whether the region sums may take the memory-saving path.
    poison: scalar 1 or NaN in float64 (see `losses.engine.checks`), or None.
    wanted: the sums that the terms of a sum of losses will ask for, so that one pass makes them all.
    """

    loss: str
    scores: tf.Tensor
    activation: str | None
    ids: tf.Tensor | None
    dense: tf.Tensor | None
    valid: tf.Tensor | None
    pixel_weights: tf.Tensor | None
    image_weights: tf.Tensor | None
    class_weights: tf.Tensor | None
    classes: tuple[int, ...]
    over: str
    reduction: str
    all_reduce: Callable | None
    fused: bool
    poison: tf.Tensor | None
    wanted: Flags = Flags()
    memo: dict = dataclasses.field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        """All classes of y_pred, counted or not."""
        return self.scores.shape[-1]

    @property
    def dtype(self) -> tf.DType:
        """What is computed in: float64 if y_pred is, else float32 whatever the policy."""
        return tf.float64 if self.scores.dtype == tf.float64 else tf.float32

    def safe_scores(self) -> tf.Tensor:
        """`[b, *space, c]` in `dtype`; 0 where ignored, so that a NaN there reaches neither loss nor gradient."""
        return neutral(tf.cast(self.scores, self.dtype), self.valid)

    def probabilities(self) -> tf.Tensor:
        """`[b, *space, c]` in `dtype`, finite also where ignored."""
        return activate(self.safe_scores(), self.activation)

    def targets(self) -> tf.Tensor:
        """`[b, *space, c]` in `dtype`: one-hot of ids, or the dense labels; arbitrary where ignored."""
        if self.ids is not None:
            return tf.one_hot(self.ids, self.num_classes, dtype=self.dtype)
        return tf.cast(self.dense, self.dtype)

    def weights(self) -> tf.Tensor | None:
        """`[b, *space, 1 or c]` in `dtype`: the pixel weights, 0 where ignored. None if every element counts 1."""
        if self.valid is None:
            return self.pixel_weights
        valid = tf.cast(self.valid, self.dtype)
        return valid if self.pixel_weights is None else valid * self.pixel_weights

    def select(self, per_class: tf.Tensor) -> tf.Tensor:
        """The k classes of a `[..., c]` tensor that count."""
        if self.classes == tuple(range(self.num_classes)):
            return per_class
        return tf.gather(per_class, list(self.classes), axis=-1)

    def over_replicas(self, batch_sum: tf.Tensor) -> tf.Tensor:
        """A quantity summed over this replica's batch, summed over the global batch."""
        return batch_sum if self.all_reduce is None else self.all_reduce(batch_sum)

    def over_groups(self, per_image: tf.Tensor) -> tf.Tensor:
        """`[b, ...]` sums to `[groups, ...]`: each image by itself, or one (weighted) sum of the batch."""
        if self.over == "image":
            return per_image
        if self.image_weights is not None:
            shape = [-1] + [1] * (per_image.shape.rank - 1)
            per_image = per_image * tf.reshape(tf.cast(self.image_weights, per_image.dtype), shape)
        return self.over_replicas(tf.reduce_sum(per_image, axis=0, keepdims=True))

    def result(self, value: tf.Tensor) -> tf.Tensor:
        """The loss as returned: NaN if a check failed, and float32 unless y_pred is float64."""
        if self.poison is not None:
            value = value * tf.cast(self.poison, value.dtype)
        return tf.cast(value, self.dtype)
