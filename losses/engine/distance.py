"""Exact Euclidean distance transforms in TensorFlow ops: they run under XLA, on an accelerator, and inside `tf.data`.

The squared distance separates over the axes (Felzenszwalb and Huttenlocher 2012, "Distance transforms of sampled
functions", equation 2): first the distance along one axis, then for every other axis the lower envelope of the
parabolas `f(i) + (x - i)^2`. The envelope is taken offset by offset and stops at the first offset whose square exceeds
every distance still standing, so the cost is elements times the largest distance, not times the side. The result equals
`scipy.ndimage.distance_transform_edt`, so a pipeline that prefers SciPy on the host may use that instead.

Nothing here has a gradient: a distance is piecewise constant in the mask. Losses treat it as given.
"""

import tensorflow as tf


def distance_transform(mask, spacing=None, dtype=tf.float32):
    """The distance of every true element to the nearest false one of its image and channel; zero where `mask` is false.

    Args:
        mask: bool `[batch, *space, channels]`, one to three axes of space, each image and channel on its own.
        spacing: length of a pixel along each axis of space, in the unit wanted for the result. Default: 1 for each.
        dtype: `tf.float32` or `tf.float64`.

    Returns:
        `dtype`, the shape of `mask`; infinite where an image and channel has no false element at all.
    """
    mask = tf.convert_to_tensor(mask)
    if mask.dtype != tf.bool:
        raise TypeError(
            "distance_transform takes a bool mask; give for instance `mask > 0.5`. Received: "
            f"mask.dtype={mask.dtype.name}"
        )
    rank = mask.shape.rank
    if rank is None or not 3 <= rank <= 5:
        raise ValueError(
            "distance_transform takes a mask of shape [batch, *space, channels] with one to three axes of space. "
            f"Received: mask.shape={mask.shape}"
        )
    spacing = check_spacing(spacing, rank - 2)
    # The nearest false element of a wholly true channel does not exist: kept out of the envelope, where its infinite
    # distances would force the walk through every offset, and put back at the end.
    endless = tf.reduce_all(mask, axis=list(range(1, rank - 1)), keepdims=True)
    inside = tf.logical_and(mask, tf.logical_not(endless))
    squared = tf.square(_along_first_axis(inside, spacing[0], dtype))
    for axis in range(2, rank - 1):
        squared = _lower_envelope(squared, axis, spacing[axis - 1])
    distance = tf.where(endless, tf.cast(float("inf"), dtype), tf.sqrt(squared))
    return tf.stop_gradient(distance)


def distance_field(mask, spacing=None, dtype=tf.float32):
    """The distance of every element to the nearest element on the other side of the mask's border, inside and outside.

    Zero everywhere for an image and channel whose mask is empty or full, where no border exists.
    Arguments and shapes as in `distance_transform`.
    """
    inside, outside, border = _two_sides(mask, spacing, dtype)
    return tf.where(border, inside + outside, tf.zeros_like(inside))


def signed_distance_map(mask, spacing=None, dtype=tf.float32):
    """Kervadec's signed distance: the distance to the object outside, minus (distance to the background, less one)
    inside.

    The one pixel makes the object's own border zero, as in the paper's code (`one_hot2dist`). With `spacing` it is the
    smallest spacing. Zero everywhere for an image and channel whose mask is empty or full.
    Arguments and shapes as in `distance_transform`.
    """
    inside, outside, border = _two_sides(mask, spacing, dtype)
    pixel = min(check_spacing(spacing, inside.shape.rank - 2))
    signed = tf.where(tf.convert_to_tensor(mask), pixel - inside, outside)
    return tf.where(border, signed, tf.zeros_like(signed))


def check_spacing(spacing, axes):
    """A tuple of `axes` positive floats, 1 for each when `spacing` is None; anything else raises ValueError."""
    if spacing is None:
        return (1.0,) * axes
    values = tuple(float(length) for length in spacing)
    if len(values) != axes or any(length <= 0 for length in values):
        raise ValueError(
            f"`spacing` is one positive length for each of the {axes} axes of space, such as spacing={(1.0,) * axes}. "
            f"Received: spacing={spacing}"
        )
    return values


def _two_sides(mask, spacing, dtype):
    """Distances inside and outside the mask (finite everywhere), and whether the image and channel has a border at
    all."""
    mask = tf.convert_to_tensor(mask)
    # One pass over both sides: half the loops, and the offsets they walk are shared.
    both = distance_transform(tf.concat([mask, tf.logical_not(mask)], axis=-1), spacing, dtype)
    border = tf.reduce_all(tf.math.is_finite(both), axis=list(range(1, mask.shape.rank - 1)), keepdims=True)
    inside, outside = tf.split(both, 2, axis=-1)
    inside_border, outside_border = tf.split(border, 2, axis=-1)
    border = tf.logical_and(inside_border, outside_border)
    zero = tf.zeros_like(inside)
    return tf.where(border, inside, zero), tf.where(border, outside, zero), border


def _along_first_axis(inside, length, dtype):
    """Distance to the nearest false element along axis 1, by doubling: offsets 1, 2, 4 … compose every offset once."""
    distance = tf.where(inside, tf.cast(float("inf"), dtype), tf.cast(0, dtype))
    size = tf.shape(inside)[1]

    def longer(offset, distance):
        before, after = _neighbours(_padded(distance, 1), offset, 1, distance)
        return offset * 2, tf.minimum(distance, tf.minimum(before, after) + tf.cast(offset, dtype) * length)

    _, distance = tf.while_loop(
        lambda offset, distance: offset < size,
        longer,
        [tf.constant(1), distance],
        shape_invariants=[tf.TensorShape([]), inside.shape],
    )
    return distance


def _lower_envelope(squared, axis, length):
    """`min over i of squared(i) + (length * (x - i))^2` along `axis`."""
    padded = _padded(squared, axis)
    size = tf.shape(squared)[axis]

    def cost(offset):
        return tf.square(tf.cast(offset, squared.dtype) * length)

    def can_improve(offset, best):
        return tf.logical_and(offset < size, cost(offset) < tf.reduce_max(best))

    def walk(offset, best):
        before, after = _neighbours(padded, offset, axis, squared)
        return offset + 1, tf.minimum(best, tf.minimum(before, after) + cost(offset))

    _, best = tf.while_loop(
        can_improve, walk, [tf.constant(1), squared], shape_invariants=[tf.TensorShape([]), squared.shape]
    )
    return best


def _padded(values, axis):
    """`values` with its own length of infinity on both sides of `axis`, so that a shift is a slice of fixed size."""
    size = tf.shape(values)[axis] if values.shape[axis] is None else values.shape[axis]
    paddings = [[size, size] if i == axis else [0, 0] for i in range(values.shape.rank)]
    return tf.pad(values, paddings, constant_values=float("inf"))


def _neighbours(padded, offset, axis, values):
    """The elements `offset` before and after each of `values`, from the padded copy; infinite beyond the ends."""
    size = [tf.shape(values)[i] if values.shape[i] is None else values.shape[i] for i in range(values.shape.rank)]
    start = [0] * values.shape.rank
    shifted = []
    for move in (-offset, offset):
        start[axis] = size[axis] + move
        piece = tf.slice(padded, start, size)
        shifted.append(tf.ensure_shape(piece, values.shape))
    return shifted
