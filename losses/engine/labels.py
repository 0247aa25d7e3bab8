"""Labels, masks and weights of pixels, checked against the predictions and brought into one form."""

import tensorflow as tf

from .checks import check_ids, check_same_shape, check_unit_interval, shape_text


def read_labels(checks, y_true, scores, axes) -> tf.Tensor:
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


def valid_elements(checks, labels, scores, axes, ignore_id, mask, activation):
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
        mask = read_pixel_map(checks, "mask", mask, scores, axes)
        valid = mask if valid is None else valid & mask
    return valid


def ids_or_dense(checks, labels, valid, scores, ignore_id):
    """(ids, None) or (None, dense), 0 where ignored and checked elsewhere."""
    is_ids = labels.shape.rank < scores.shape.rank
    if valid is not None:
        labels = tf.where(tf.squeeze(valid, -1) if is_ids else valid, labels, tf.zeros([], labels.dtype))
    if not is_ids:
        remedy = (
            "For a mask of 0 and 255 write y_true > 0 (or y_true / 255); if some value marks elements not to be "
            "counted, name it (ignore_id=255); class ids have no last axis (y_true[..., 0])."
        )
        # What resizing a one-hot mask adds up to may be a rounding above 1.
        check_unit_interval(checks, "y_true", labels, remedy, slack=1e-4)
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


def read_pixel_map(checks, name, values, scores, axes) -> tf.Tensor:
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
