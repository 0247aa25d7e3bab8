"""The region sums of a softmax against class ids, which are never made one-hot.

With label `l` and weight `w` of a pixel, and `gX` the gradient of the loss by sum `X` of its image:

    dloss/dz_c = w * (p_c * (G_c - sum_j(p_j * G_j) + gnll_l + sum_j(gnll_all_j)) - gnll_all_c - [c=l] * gnll_l)
    G_c = gwrong_c + 2 * p_c * (gprediction_squared_c + gdifference_squared_c)       for other classes than l
    G_l = gproduct_l - gmissed_l + 2 * p_l * gprediction_squared_l - 2 * (1-p_l) * gdifference_squared_l
"""

import tensorflow as tf

from .blocks import Rows, map_blocks, score_of_label
from .sums import sum_names, sum_rows


def forward(scores, ids, weights, *, activation, flags, is_ids, in_blocks):
    """The sums in the order of `sum_names`, and at last the log-sum-exp `[b, rows, row]`."""
    del activation, is_ids
    rows = Rows(scores, ids, weights, in_blocks)

    def block(z, ids, weights):
        peak = tf.reduce_max(z, axis=-1, keepdims=True)
        of_own = score_of_label(z, ids)[..., tf.newaxis]
        # What the other classes have, summed by itself, is 1 - p of the label to all its digits.
        own = tf.exp(of_own - peak)
        others = tf.where(_at_label(ids, z), tf.zeros_like(z), tf.exp(z - peak))
        rest = tf.reduce_sum(others, axis=-1, keepdims=True)
        total = own + rest
        lse = peak + tf.math.log(total)
        wrong = others * (1 / total)
        hit, missed = own / total, rest / total
        nll = tf.where(missed < 0.5, -tf.math.log1p(-missed), lse - of_own)
        hit, missed, nll = (tf.squeeze(x, -1) for x in (hit, missed, nll))
        of_label = [hit, missed, nll] + ([hit * hit, missed * missed] if flags.squared else [])
        maps = [wrong] + ([wrong * wrong] if flags.squared else []) + ([lse - z] if flags.smoothing else [])
        sums = [sum_rows(values if weights is None else values * weights) for values in maps]
        return tf.squeeze(lse, -1), *_sums_by_label(of_label, ids, weights, z.shape[-1]), *sums

    values = map_blocks(block, rows, pixel_maps=1, sums=5 + 3 * flags.squared + flags.smoothing)
    lse, product, missed, nll, *squares, target = values[: 5 + 2 * flags.squared]
    wrong, *others = values[5 + 2 * flags.squared :]
    sums = [product, missed, wrong, nll]
    if flags.squared:
        wrong_squared = others.pop(0)
        sums += [*(wrong_squared + square for square in squares), target]
    if flags.distance:
        # abs(p - y) is p for another class and 1 - p for the label's.
        sums += [wrong + missed]
    pixels = tf.broadcast_to(tf.reduce_sum(target, axis=-1, keepdims=True), tf.shape(target))
    return (*sums, *others, target, pixels, lse)


def _at_label(ids, z):
    """`[b, r, row, c]` bool."""
    return tf.equal(ids[..., tf.newaxis], tf.range(z.shape[-1]))


def _sums_by_label(maps, ids, weights, classes):
    """`[b, r, row]` maps, and at last 1, weighted and summed over the pixels of each id: each `[b, c]` float64."""
    maps = tf.stack([*maps, tf.ones_like(maps[0])], axis=-1)
    maps = maps if weights is None else maps * weights
    images, columns = tf.shape(ids)[0], maps.shape[-1]
    segment = (tf.range(images) * classes)[:, tf.newaxis] + tf.reshape(ids, tf.stack([images, -1]))
    values = tf.cast(tf.reshape(maps, [-1, columns]), tf.float64)
    summed = tf.math.unsorted_segment_sum(values, tf.reshape(segment, [-1]), images * classes)
    return tf.unstack(tf.reshape(summed, [-1, classes, columns]), axis=-1)


def backward(scores, ids, weights, lse, upstream, *, activation, flags, is_ids, in_blocks):
    """The gradient by the scores, in their shape and type."""
    del is_ids
    rows = Rows(scores, ids, weights, in_blocks)
    by_name = dict(zip(sum_names(activation, flags), (tf.cast(g, rows.dtype) for g in upstream), strict=True))
    by_hit, by_wrong = by_name["product"] - by_name["missed"], by_name["wrong"]
    if flags.distance:
        by_hit, by_wrong = by_hit - by_name["distance"], by_wrong + by_name["distance"]
    per_image = [by_hit, by_wrong, by_name["nll"]]
    per_image += [by_name["prediction_squared"], by_name["difference_squared"]] if flags.squared else []
    per_image += [by_name["nll_all"]] if flags.smoothing else []

    def block(z, ids, weights, lse, by_hit, by_wrong, by_nll, *others):
        def of_class(per_class):
            return per_class[:, tf.newaxis, tf.newaxis, :]

        p, at_label = tf.exp(z - lse[..., tf.newaxis]), _at_label(ids, z)
        g = tf.where(at_label, of_class(by_hit), of_class(by_wrong))
        if flags.squared:
            by_square, by_difference = map(of_class, others[:2])
            missed = tf.reduce_sum(tf.where(at_label, tf.zeros_like(p), p), axis=-1, keepdims=True)
            g += 2 * p * by_square + 2 * tf.where(at_label, -missed, p) * by_difference
        flat = tf.gather(by_nll, tf.reshape(ids, tf.stack([tf.shape(ids)[0], -1])), batch_dims=1)
        pull = own_pull = tf.reshape(flat, tf.shape(ids))[..., tf.newaxis]
        if flags.smoothing:
            pull += tf.reduce_sum(others[-1], axis=-1)[:, tf.newaxis, tf.newaxis, tf.newaxis]
        gradient = p * (g + (pull - tf.reduce_sum(p * g, axis=-1, keepdims=True)))
        gradient -= tf.where(at_label, own_pull, tf.zeros_like(own_pull))
        if flags.smoothing:
            gradient -= of_class(others[-1])
        return (gradient if weights is None else gradient * weights,)

    (gradient,) = map_blocks(block, rows, pixel_inputs=[lse], per_image=per_image, gradients=1)
    return rows.like_scores(gradient)
