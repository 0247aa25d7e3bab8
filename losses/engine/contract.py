"""The way into every loss: checks the inputs and brings labels, masks and weights into one form.

`prepare` is called by each loss with the options all of them share. It never broadcasts and never guesses between two
readings; its errors say what to write instead; see `losses.engine.checks` for what happens to wrong values inside XLA.
"""

from collections.abc import Callable

import tensorflow as tf

from .checks import (
    ValueChecks,
    axis_names,
    check_floating,
    check_not_probabilities,
    check_same_shape,
    check_unit_interval,
    shape_text,
)
from .labels import ids_or_dense, read_labels, read_pixel_map, valid_elements
from .problem import Problem


def prepare(
    y_true,
    y_pred,
    *,
    loss: str,
    activation: str | None = "softmax",
    from_logits: bool | None = None,
    include_background: bool = True,
    classes=None,
    ignore_id: int | None = None,
    mask=None,
    class_weights=None,
    image_weights=None,
    pixel_weights=None,
    over: str = "image",
    reduction: str = "mean",
    fused: bool = True,
    all_reduce: Callable | None = None,
) -> Problem:
    """Checks one call's inputs and returns them in one form.

    Args:
        y_true: class ids `[batch, *space]` (any integer type, or whole floats), or labels between 0 and 1
            `[batch, *space, classes]` (one-hot, multi-label or soft; bool, integer or float).
        y_pred: `[batch, *space, classes]`, one or more spatial axes, any float type.
        loss: the name that messages begin with.
        activation: what turns y_pred into probabilities: "softmax", "sigmoid", or None if they are already.
        from_logits: False is another way to write activation=None.
        include_background: False leaves out class 0.
        classes: indices of the classes that count; None for all.
        ignore_id: label of the pixels that count nowhere. In dense labels of a sigmoid or of given probabilities it
            is looked for in each element, otherwise it takes out the pixel.
        mask: `[batch, *space]` or `[batch, *space, 1]`, nonzero (1 or True) where pixels count.
        class_weights: a factor for each class of y_pred, or for each class that counts.
        image_weights: a factor for each image, `[batch]`.
        pixel_weights: `[batch, *space]` or `[batch, *space, 1]`, a factor for each pixel in every sum.
        over: "image" or "batch": what one value of the loss is summed over.
        reduction: "mean", "sum" or "none".
        fused: see `losses.engine.statistics`.
        all_reduce: maps sums over this replica's batch to sums over the global batch, differentiably.

    Raises:
        TypeError: predictions that are not floating point; labels that are no numbers.
        ValueError: shapes that differ, unknown options, labels or probabilities out of range (when eager).
        tf.errors.InvalidArgumentError: the same found at run time in a graph; NaN inside XLA.
    """
    _one_of(loss, "activation", activation, ("softmax", "sigmoid", None))
    _one_of(loss, "over", over, ("image", "batch"))
    _one_of(loss, "reduction", reduction, ("mean", "sum", "none"))
    activation = _with_from_logits(loss, activation, from_logits)
    checks = ValueChecks(loss)
    scores = _scores(loss, y_pred)
    axes, num_classes = axis_names(scores.shape.rank), scores.shape[-1]
    if activation == "softmax" and num_classes == 1:
        raise ValueError(
            f"{loss}: a softmax over one class is 1 everywhere, whatever the model says. Write activation='sigmoid' "
            f"for one channel of logits.\nReceived: activation='softmax', y_pred {shape_text(scores.shape, axes)}"
        )
    labels = read_labels(checks, y_true, scores, axes)
    valid = valid_elements(checks, labels, scores, axes, ignore_id, mask, activation)
    ids, dense = ids_or_dense(checks, labels, valid, scores, ignore_id)
    if activation is None:
        counted = scores if valid is None else tf.where(valid, scores, tf.zeros([], scores.dtype))
        check_unit_interval(
            checks,
            "y_pred",
            tf.stop_gradient(counted),
            "activation=None (from_logits=False) takes probabilities, and these are logits: write "
            "activation='softmax' for classes that exclude each other, activation='sigmoid' otherwise.",
            slack=1e-3,
        )
    else:
        check_not_probabilities(checks, scores, activation)
    chosen = _classes(loss, num_classes, include_background, classes)
    pixels = None if pixel_weights is None else read_pixel_map(checks, "pixel_weights", pixel_weights, scores, axes)
    if pixels is not None:
        pixels = tf.cast(pixels, tf.float64 if scores.dtype == tf.float64 else tf.float32)
        if valid is not None:
            pixels = tf.where(tf.reduce_any(valid, axis=-1, keepdims=True), pixels, tf.zeros_like(pixels))
        _not_negative(checks, "pixel_weights", pixels)
    images = None if image_weights is None else _image_weights(checks, image_weights, scores)
    weights = None if class_weights is None else _class_weights(checks, class_weights, num_classes, chosen)
    scores, ids, dense, valid, pixels = _sizes_known_to_all(checks.after(scores), ids, dense, valid, pixels)
    return Problem(
        loss=loss,
        scores=scores,
        activation=activation,
        ids=ids,
        dense=dense,
        valid=valid,
        pixel_weights=pixels,
        image_weights=images,
        class_weights=weights,
        classes=chosen,
        over=over,
        reduction=reduction,
        all_reduce=all_reduce,
        fused=fused,
        poison=checks.factor(tf.float64),
    )


def _one_of(loss, name, value, allowed):
    if value not in allowed:
        raise ValueError(f"{loss}: {name} must be one of {allowed}. Received: {name}={value!r}")


def _with_from_logits(loss, activation, from_logits):
    if from_logits is None:
        return activation
    if from_logits and activation is None:
        raise ValueError(
            f"{loss}: from_logits=True needs the activation that the logits are for: activation='softmax' or 'sigmoid'."
            "\nReceived: from_logits=True, activation=None"
        )
    return activation if from_logits else None


def _scores(loss, y_pred) -> tf.Tensor:
    scores = tf.convert_to_tensor(y_pred)
    check_floating(loss, scores.dtype)
    rank = scores.shape.rank
    if rank is None or rank < 3:
        raise ValueError(
            f"{loss}: y_pred must be [batch, *space, classes] with one or more axes of space"
            f"{', of known rank (tf.ensure_shape)' if rank is None else ''}.\nReceived: y_pred of shape {scores.shape}"
        )
    if scores.shape[-1] is None:
        raise ValueError(
            f"{loss}: the number of classes, y_pred's last axis, must be known while tracing: "
            f"tf.ensure_shape(y_pred, [{', '.join(['None'] * (rank - 1))}, classes]).\n"
            f"Received: y_pred {shape_text(scores.shape, axis_names(rank))}"
        )
    return scores


def _sizes_known_to_all(scores, ids, dense, valid, pixels):
    """The tensors, each with all sizes that are known of any of them, so that they are cut alike."""
    sizes = scores.shape[:-1]
    for other in (dense, valid, pixels):
        sizes = sizes if other is None else sizes.merge_with(other.shape[:-1])
    sizes = sizes if ids is None else sizes.merge_with(ids.shape)

    def known(tensor):
        if tensor is None or tensor.shape[: sizes.rank].as_list() == sizes.as_list():
            return tensor
        tensor = tf.identity(tensor)
        tensor.set_shape(sizes + tensor.shape[sizes.rank :])
        return tensor

    return tuple(known(tensor) for tensor in (scores, ids, dense, valid, pixels))


def _classes(loss, num_classes, include_background, classes) -> tuple[int, ...]:
    chosen = tuple(range(num_classes)) if classes is None else tuple(int(c) for c in classes)
    wrong = [c for c in chosen if not 0 <= c < num_classes]
    if wrong or len(set(chosen)) != len(chosen):
        raise ValueError(
            f"{loss}: classes must be different indices from 0 to {num_classes - 1}. Received: classes={classes}"
        )
    if not include_background:
        if classes is not None and 0 in chosen:
            raise ValueError(
                f"{loss}: classes names class 0 and include_background=False leaves it out; say it once, with classes."
                f"\nReceived: classes={classes}, include_background=False"
            )
        chosen = tuple(c for c in chosen if c != 0)
    if not chosen:
        raise ValueError(
            f"{loss}: no class is left to count. With a single channel, class 0 is the foreground: leave "
            f"include_background at True.\nReceived: {num_classes} class(es), classes={classes}, "
            f"include_background={include_background}"
        )
    return chosen


def _not_negative(checks, name, values):
    checks.require(
        ~tf.reduce_any(values < 0),
        f"{name} must not be negative: a negative weight would reward mistakes.",
        smallest=tf.reduce_min(values),
    )


def _image_weights(checks, image_weights, scores) -> tf.Tensor:
    weights = tf.cast(tf.convert_to_tensor(image_weights), tf.float64)
    if weights.shape.rank != 1:
        raise ValueError(
            f"{checks.loss}: image_weights must be [batch], one factor for each image; factors for pixels are "
            f"pixel_weights.\nReceived: image_weights of shape {weights.shape}"
        )
    check_same_shape(checks, "image_weights", weights, scores, ("batch",))
    _not_negative(checks, "image_weights", weights)
    return weights


def _class_weights(checks, class_weights, num_classes, chosen) -> tf.Tensor:
    weights = tf.cast(tf.convert_to_tensor(class_weights), tf.float64)
    if weights.shape.rank != 1 or weights.shape[0] not in (num_classes, len(chosen)):
        counts = f"{num_classes}" if len(chosen) == num_classes else f"{num_classes} (or {len(chosen)})"
        raise ValueError(
            f"{checks.loss}: class_weights must be {counts} numbers, one for each class of y_pred"
            f"{'' if len(chosen) == num_classes else ' (or each class that counts)'}.\n"
            f"Received: class_weights of shape {weights.shape}, classes that count {chosen}"
        )
    _not_negative(checks, "class_weights", weights)
    return weights if weights.shape[0] == len(chosen) else tf.gather(weights, list(chosen))
