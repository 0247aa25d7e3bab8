"""The way into every loss: checks the inputs and brings labels, masks and weights into one form.

`prepare` is called by each loss with the options all of them share. It never broadcasts, never guesses between two
readings, and says what to write instead; see `losses.checks` for what happens to wrong values inside XLA.
"""

from collections.abc import Callable

import tensorflow as tf

from losses.checks import (
    ValueChecks,
    axis_names,
    check_ids,
    check_not_probabilities,
    check_same_shape,
    check_unit_interval,
    shape_text,
)
from losses.problem import Problem


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
        fused: see `losses.statistics`.
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
    labels = _labels(checks, y_true, scores, axes)
    valid = _valid(checks, labels, scores, axes, ignore_id, mask, activation)
    ids, dense = _in_range(checks, labels, valid, scores, ignore_id)
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
    pixels = None if pixel_weights is None else _pixel_map(checks, "pixel_weights", pixel_weights, scores, axes)
    if pixels is not None:
        pixels = tf.cast(pixels, tf.float64 if scores.dtype == tf.float64 else tf.float32)
        if valid is not None:
            pixels = tf.where(tf.reduce_any(valid, axis=-1, keepdims=True), pixels, tf.zeros_like(pixels))
        _not_negative(checks, "pixel_weights", pixels)
    images = None if image_weights is None else _image_weights(checks, image_weights, scores)
    weights = None if class_weights is None else _class_weights(checks, class_weights, num_classes, chosen)
    scores = checks.after(scores)
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
    if not scores.dtype.is_floating:
        raise TypeError(
            f"{loss}: predictions must be floating point; {scores.dtype.name} has no gradient. Hand in the logits, "
            f"before any argmax, rounding or threshold.\nReceived: y_pred of dtype {scores.dtype.name}"
        )
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


def _labels(checks, y_true, scores, axes) -> tf.Tensor:
    """Labels whose shape agrees with the predictions; their rank says whether they are ids or dense."""
    labels = tf.stop_gradient(tf.convert_to_tensor(y_true))
    if labels.dtype == tf.bool:
        labels = tf.cast(labels, tf.uint8)
    if not (labels.dtype.is_floating or labels.dtype.is_integer):
        raise TypeError(f"{checks.loss}: labels must be numbers. Received: y_true of dtype {labels.dtype.name}")
    rank, num_classes = scores.shape.rank, scores.shape[-1]
    if labels.shape.rank not in (rank - 1, rank):
        raise ValueError(
            f"{checks.loss}: y_true must be class ids [{', '.join(axes[:-1])}] or labels of y_pred's shape "
            f"[{', '.join(axes)}]"
            f"{'; its rank must be known (tf.ensure_shape)' if labels.shape.rank is None else ''}.\n"
            f"Received: y_true of shape {labels.shape}, y_pred {shape_text(scores.shape, axes)}"
        )
    if labels.shape.rank == rank - 1:
        if num_classes == 1:
            raise ValueError(
                f"{checks.loss}: y_true has no axis of classes and y_pred has one class. A mask for one channel has "
                f"that axis too: y_true[..., tf.newaxis].\nReceived: y_true {shape_text(labels.shape, axes[:-1])}, "
                f"y_pred {shape_text(scores.shape, axes)}"
            )
        check_same_shape(checks, "y_true", labels, scores, axes[:-1])
        return labels
    remedy = ""
    channels = labels.shape[-1]
    if channels == 1 and num_classes > 1:
        remedy = (
            "Class ids have no last axis: tf.squeeze(y_true, -1). A single mask needs a model with one channel of "
            "logits and activation='sigmoid'."
        )
    elif channels is not None and channels != num_classes:
        remedy = (
            "The model's last layer must have as many channels as there are classes"
            + ("; a mask of one of them is y_true[..., i:i+1]" if num_classes == 1 else "")
            + "."
        )
    check_same_shape(checks, "y_true", labels, scores, axes, remedy)
    return tf.ensure_shape(checks.after(labels), scores.shape)


def _valid(checks, labels, scores, axes, ignore_id, mask, activation):
    """`[b, *space, 1 or c]` bool where something is ignored, else None."""
    valid = None
    if ignore_id is not None:
        if int(ignore_id) != ignore_id:
            raise ValueError(f"{checks.loss}: ignore_id must be an integer. Received: ignore_id={ignore_id!r}")
        ignore_id = int(ignore_id)
        if labels.dtype.is_floating or labels.dtype.min <= ignore_id <= labels.dtype.max:
            valid = tf.not_equal(labels, tf.cast(ignore_id, labels.dtype))
            if labels.shape.rank < scores.shape.rank:
                valid = valid[..., tf.newaxis]
            elif activation == "softmax":
                valid = tf.reduce_all(valid, axis=-1, keepdims=True)
    if mask is not None:
        mask = tf.convert_to_tensor(mask)
        if mask.dtype != tf.bool:
            if not (mask.dtype.is_floating or mask.dtype.is_integer):
                raise TypeError(f"{checks.loss}: mask must be bool or 0 and 1. Received: mask of dtype {mask.dtype}")
            binary = tf.reduce_all(tf.equal(mask, tf.zeros([], mask.dtype)) | tf.equal(mask, tf.ones([], mask.dtype)))
            checks.require(
                binary,
                "mask must hold 0 and 1 (or be bool). For a mask of 0 and 255 write mask > 0; for factors between, "
                "pixel_weights.",
                smallest=tf.reduce_min(mask),
                largest=tf.reduce_max(mask),
            )
            mask = tf.not_equal(mask, tf.zeros([], mask.dtype))
        mask = _pixel_map(checks, "mask", mask, scores, axes)
        valid = mask if valid is None else valid & mask
    return valid


def _in_range(checks, labels, valid, scores, ignore_id):
    """(ids, None) or (None, dense), 0 where ignored and checked elsewhere."""
    is_ids = labels.shape.rank < scores.shape.rank
    if valid is not None:
        labels = tf.where(tf.squeeze(valid, -1) if is_ids else valid, labels, tf.zeros([], labels.dtype))
    if not is_ids:
        remedy = (
            "For a mask of 0 and 255 write y_true > 0 (or y_true / 255); if some value marks elements not to be "
            "counted, name it (ignore_id=255); class ids have no last axis (y_true[..., 0])."
        )
        check_unit_interval(checks, "y_true", labels, remedy)
        return None, checks.after(labels)
    if labels.dtype.is_floating:
        checks.require(
            tf.reduce_all(tf.equal(labels, tf.round(labels))),
            "y_true of this rank is read as class ids, which are whole numbers. Soft labels need the axis of classes.",
            smallest=tf.reduce_min(labels),
            largest=tf.reduce_max(labels),
        )
    if labels.dtype in (tf.int64, tf.uint32, tf.uint64) or labels.dtype.is_floating:
        labels = (
            tf.clip_by_value(labels, tf.cast(-1, labels.dtype), tf.cast(2**30, labels.dtype))
            if (not labels.dtype.is_unsigned)
            else tf.minimum(labels, tf.cast(2**30, labels.dtype))
        )
    ids = tf.cast(labels, tf.int32)
    check_ids(checks, ids, scores.shape[-1], ignore_id)
    return checks.after(ids), None


def _pixel_map(checks, name, values, scores, axes) -> tf.Tensor:
    """`[b, *space, 1]` of a map given with or without the last axis."""
    values = tf.stop_gradient(tf.convert_to_tensor(values))
    rank = scores.shape.rank
    if values.shape.rank == rank - 1:
        values = values[..., tf.newaxis]
    if values.shape.rank != rank or values.shape[-1] != 1:
        raise ValueError(
            f"{checks.loss}: {name} must be [{', '.join(axes[:-1])}], perhaps with a last axis of 1: one value a pixel."
            f"\nReceived: {name} of shape {values.shape}, y_pred {shape_text(scores.shape, axes)}"
        )
    check_same_shape(checks, name, values, scores, axes[:-1])
    return values


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
