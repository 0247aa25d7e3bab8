"""Deep supervision: a loss of predictions at several sizes, each against the labels at its size."""

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from .compound import LossValue
from .engine.checks import axis_names, shape_text

# Options that are one value (or one a class) for each pixel: they are taken at the same pixels as the labels.
PIXEL_MAPS = ("mask", "pixel_weights", "distance_maps")


def deep_supervision(
    y_true, y_preds: Sequence, *, loss: Callable, weights: Sequence[float] | None = None, **options
) -> tf.Tensor | LossValue:
    """The weighted sum of a loss over predictions at several sizes, each against the labels resized to it.

    The label of pixel j of s is that of pixel `floor((j + 0.5) * n / s)` of n along each axis: the pixel in the middle
    of what j covers (the second of two middle ones), as `tf.image.resize(method="nearest")` takes it. Ids stay ids, and
    nothing is shifted: every fourth pixel from the first, `y_true[:, ::4, ::4]`, would be the corner, 1.5 pixels off.

        loss = build("dice+cross_entropy")
        value = deep_supervision(labels, [full, half, quarter], loss=loss)
        value.total, value.parts["dice"]

    Args:
        y_true: as for the loss, at the size of the largest prediction or larger.
        y_preds: predictions `[batch, *space, classes]`, the one at full size first.
        loss: called as `loss(y_true, y_pred, **options)`: a function of `losses`, what `build` made, or a function of
            your own, which returns a tensor, or total and parts in a `LossValue`.
        weights: one for each prediction; by default 1, 1/2, 1/4 … divided by their sum, as nnU-Net. MONAI's
            DeepSupervisionLoss does not divide.
        **options: for the loss. Those that are maps (mask, pixel_weights, distance_maps) are taken at the same pixels
            as the labels; distances stay in pixels of the full size. `all_reduce` is called at each size in turn.

    Returns:
        What the loss returns: a tensor, or a `LossValue` whose parts are weighted sums over all sizes, as its total is.

    Raises:
        ValueError: no predictions, or another number of weights; labels smaller than a prediction, or with its axes
            swapped.

    Lee et al. 2015, "Deeply-supervised nets"; Wang et al. 2015, "Training deeper convolutional networks with deep
    supervision".
    """
    if not isinstance(y_preds, (list, tuple)) or not y_preds:
        raise ValueError(f"deep_supervision: y_preds must be a list of predictions. Received: y_preds={y_preds!r}")
    if weights is None:
        shares = [0.5**level for level in range(len(y_preds))]
        weights = [share / sum(shares) for share in shares]
    if len(weights) != len(y_preds):
        raise ValueError(
            f"deep_supervision: {len(y_preds)} predictions need as many weights. Received: weights={list(weights)}"
        )
    values = []
    for y_pred in y_preds:
        y_pred = tf.convert_to_tensor(y_pred)
        maps = {name: _resized(name, options[name], y_pred) for name in PIXEL_MAPS if options.get(name) is not None}
        values.append(loss(_resized("y_true", y_true, y_pred), y_pred, **(options | maps)))

    def weighted(tensors):
        return tf.add_n([weight * tensor for weight, tensor in zip(weights, tensors, strict=True)])

    if not isinstance(getattr(values[0], "parts", None), Mapping):
        return weighted(values)
    parts = {name: weighted([value.parts[name] for value in values]) for name in values[0].parts}
    return LossValue(weighted([value.total for value in values]), parts)


def _resized(name, values, like):
    """`[batch, *space, ...]` at the nearest pixels of the space of `like`."""
    values = tf.convert_to_tensor(values)
    last = like.shape.rank - 1
    if values.shape.rank not in (last, last + 1):
        return values  # The loss says what is wrong.
    sizes, wanted = values.shape.as_list()[1:last], like.shape.as_list()[1:last]
    if None not in sizes + wanted:
        swapped = sizes != wanted and sorted(sizes) == sorted(wanted)
        if swapped or any(size < least for size, least in zip(sizes, wanted, strict=True)):
            axes = axis_names(like.shape.rank)[1:last]
            what = "the axes of a prediction swapped" if swapped else "fewer pixels than a prediction"
            raise ValueError(
                f"deep_supervision: {name} has {what}, and it is only taken down to smaller sizes. Hand it in at full "
                f"size, its axes in the order of the predictions.\n"
                f"Received: {name} {shape_text(sizes, axes)}, a prediction {shape_text(wanted, axes)}"
            )
    for axis in range(1, last):
        if values.shape[axis] is not None and values.shape[axis] == like.shape[axis]:
            continue
        size, wanted = (tf.cast(tf.shape(x)[axis], tf.float64) for x in (values, like))
        index = tf.floor((tf.range(wanted, dtype=tf.float64) + 0.5) * size / wanted)
        values = tf.gather(values, tf.cast(index, tf.int32), axis=axis)
        values = tf.ensure_shape(values, [*values.shape[:axis], like.shape[axis], *values.shape[axis + 1 :]])
    return values
