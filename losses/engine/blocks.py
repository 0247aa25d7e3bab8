"""Images cut into blocks of short rows, and a function applied to one block at a time."""

import math

import tensorflow as tf

from .sums import neutral, to_rows

# Scores in one block: small beside the logits of a batch, large beside the cost of a turn of the loop.
BLOCK = 2**22


class Rows:
    """Scores, labels and weights of one call as rows of pixels.

    scores: `[b, rows, row, c]` as given.   labels: ids `[b, rows, row]` or dense `[b, rows, row, c]`.
    weights: `[b, rows, row, 1 or c]` in `dtype`, 0 for padding; or None.   dtype: what is computed in.
    count: blocks in an image; None to take everything at once.
    """

    def __init__(self, scores, labels, weights, in_blocks: bool):
        self.given = scores
        self.dtype = tf.float64 if scores.dtype == tf.float64 else tf.float32
        self.classes = scores.shape[-1]
        self.scores = to_rows(scores)
        self.is_ids = labels.shape.rank < scores.shape.rank
        self.labels = tf.squeeze(to_rows(labels[..., tf.newaxis]), -1) if self.is_ids else to_rows(labels)
        space = scores.shape[1:-1]
        padded = not space.is_fully_defined() or self.scores.shape[1] * self.scores.shape[2] != math.prod(space)
        if weights is None and padded:
            weights = tf.ones_like(scores[..., :1], self.dtype)
        self.weights = None if weights is None else to_rows(tf.cast(weights, self.dtype))
        self.count = None
        if in_blocks:
            rows, row = self.scores.shape[1:3]
            self.count = min(n for n in range(1, rows + 1) if rows % n == 0 and rows // n * row * self.classes <= BLOCK)

    def like_scores(self, rows: tf.Tensor) -> tf.Tensor:
        """`[b, rows, row, c]` in the shape of the scores, without what was padded."""
        shape = tf.shape(self.given)
        flat = tf.reshape(rows, tf.stack([shape[0], -1, self.classes]))
        return tf.reshape(flat[:, : tf.reduce_prod(shape[1:-1])], shape)


def map_blocks(function, rows: Rows, *, pixel_inputs=(), per_image=(), pixel_maps=0, sums=0, gradients=0):
    """Calls `function(scores, labels, weights or None, *pixel_inputs, *per_image)` on each block of each image.

    Args:
        function: takes scores `[1, r, row, c]` in `rows.dtype` (0 where they weigh nothing) and the other arguments cut
            alike, per_image `[1, c]`. It returns `pixel_maps` tensors `[1, r, row]`, then `sums` tensors `[1, c]` in
            float64, then `gradients` tensors `[1, r, row, c]`.
        pixel_inputs: `[b, rows, row]`.   per_image: `[b, c]`.

    Returns:
        The maps joined, the sums added up over an image, the gradients joined, in the type of the scores as given.
    """
    if rows.count is None:
        scores = neutral(tf.cast(rows.scores, rows.dtype), rows.weights)
        values = function(scores, rows.labels, rows.weights, *pixel_inputs, *per_image)
        return [*values[: pixel_maps + sums], *(tf.cast(v, rows.given.dtype) for v in values[pixel_maps + sums :])]
    batch, (count, row, classes) = tf.shape(rows.scores)[0], rows.scores.shape[1:]
    per_block, total = count // rows.count, batch * rows.count

    # No axis of 1 here: with one, XLA copies every tensor that the loop reads.
    def cut(tensor):
        return tf.reshape(tensor, [total, per_block, *tensor.shape[2:]])

    scores, labels = cut(rows.scores), cut(rows.labels)
    weights = None if rows.weights is None else cut(rows.weights)
    pixel_inputs = [cut(tensor) for tensor in pixel_inputs]
    pixels, full = [1, per_block, row], [1, per_block, row, classes]
    specs = [(rows.dtype, pixels)] * pixel_maps + [(tf.float64, [1, classes])] * sums
    specs += [(rows.given.dtype, full)] * gradients
    arrays = [tf.TensorArray(dtype, total, element_shape=shape) for dtype, shape in specs]

    def turn(i, arrays):
        z, *others = (tensor[i][tf.newaxis] for tensor in (scores, labels, *pixel_inputs))
        own_weights = None if weights is None else weights[i][tf.newaxis]
        image = [tensor[i // rows.count][tf.newaxis] for tensor in per_image]
        z = neutral(tf.cast(z, rows.dtype), own_weights)
        values = function(z, others[0], own_weights, *others[1:], *image)
        written = [a.write(i, tf.cast(v, a.dtype)) for a, v in zip(arrays, values, strict=True)]
        return i + 1, written

    _, arrays = tf.while_loop(lambda i, _: i < total, turn, (0, arrays))
    values = [array.stack() for array in arrays]
    maps = [tf.reshape(v, [batch, count, row]) for v in values[:pixel_maps]]
    blocks = [tf.reshape(v, [batch, rows.count, classes]) for v in values[pixel_maps : pixel_maps + sums]]
    added = [tf.reduce_sum(v, axis=1) for v in blocks]
    joined = [tf.reshape(v, [batch, count, row, classes]) for v in values[pixel_maps + sums :]]
    return [*maps, *added, *joined]


def score_of_label(scores: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
    """`[g, r, row]`: of each pixel's scores `[g, r, row, c]` that of its id `[g, r, row]`."""
    flat = tf.reshape(ids, [-1])
    index = tf.range(tf.size(flat)) * scores.shape[-1] + flat
    return tf.reshape(tf.gather(tf.reshape(scores, [-1]), index), tf.shape(ids))
