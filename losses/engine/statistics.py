"""The sums every region loss is made of, per image and class, made once for all the terms of a sum of losses.

For probabilities `p`, labels `y` and weights `w` (pixel weights, 0 where ignored), over the space of an image:

    product = sum(w*p*y)   missed = sum(w*(1-p)*y)   wrong = sum(w*p*(1-y))   target = sum(w*y)   pixels = sum(w)
    nll = sum(w*y*-log p)    nll_absent = sum(w*(1-y)*-log(1-p))   (if asked for; the second not for a softmax)

What follows them is arithmetic on a few `[batch, classes]` numbers in float64, with ordinary autodiff. A loss is made
of missed and wrong, not of 1 minus something near 1: so it is exact for a good prediction, too.
"""

from typing import NamedTuple

import tensorflow as tf

from .contract import prepare
from .fused import fused_sums
from .problem import Problem
from .sums import Flags, exact_sum, plain_sums

__all__ = ["RegionSums", "exact_sum", "group_sum", "image_sums", "region_statistics", "region_sums"]


# The sums of `image_sums` that a region loss reads.
SUMS = ("product", "wrong", "missed", "target", "pixels")
SUMS += ("prediction_squared", "target_squared", "difference_squared", "distance")


class RegionSums(NamedTuple):
    """Sums over what a loss sums over: `[groups, k]` float64; groups = images, or 1 for over="batch".

    intersection: sum(p*y), or (P+Y-sum(abs(p-y)))/2 for soft labels.   prediction: P = sum(p), or sum(p^2) if squared.
    target: Y = sum(y), or sum(y^2).   pixels: sum(w), how much could be counted.
    wrong: P - intersection, the false positives.   missed: Y - intersection, the false negatives.
    difference: wrong + missed.
    """

    intersection: tf.Tensor
    prediction: tf.Tensor
    target: tf.Tensor
    pixels: tf.Tensor
    wrong: tf.Tensor
    missed: tf.Tensor
    difference: tf.Tensor


@tf.autograph.experimental.do_not_convert
def region_statistics(y_true, y_pred, *, squared: bool = False, soft_label: bool = False, **common) -> RegionSums:
    """The sums themselves, for a region loss of your own.

    Args:
        squared: prediction and target are sums of squares (Milletari et al. 2016, "V-Net", section 3).
        soft_label: the intersection is (P+Y-sum(abs(p-y)))/2, which equals P and Y at p=y for labels between 0 and 1,
            too (Wang et al. 2023, "Dice semimetric losses", equation 8); the same as sum(p*y) for labels 0 and 1.
            With `squared` the product already has this property.
        **common: options of `losses.engine.contract.prepare`.

    Returns:
        `RegionSums`, each `[batch, k]` or, with over="batch", `[1, k]`, for the k classes that count. Differentiable.
    """
    problem = prepare(y_true, y_pred, loss="region_statistics", **common)
    sums = region_sums(problem, squared=squared, soft_label=soft_label)
    if problem.poison is None:
        return sums
    return RegionSums(*(value * problem.poison for value in sums))


def region_sums(problem: Problem, *, squared: bool = False, soft_label: bool = False) -> RegionSums:
    """Sums over each image, or over the (global) batch, for the classes that count."""
    raw = image_sums(problem, squared=squared, distance=soft_label and not squared)
    raw = {name: group_sum(problem, value) for name, value in raw.items() if name in SUMS}
    hit, wrong, missed, target = raw["product"], raw["wrong"], raw["missed"], raw["target"]
    prediction, difference = hit + wrong, wrong + missed
    if squared:
        prediction, target, difference = raw["prediction_squared"], raw["target_squared"], raw["difference_squared"]
        wrong, missed = prediction - hit, target - hit
    elif soft_label:
        difference, excess = raw["distance"], wrong - missed
        wrong, missed = (difference + excess) / 2, (difference - excess) / 2
        hit = prediction - wrong
    return RegionSums(hit, prediction, target, raw["pixels"], wrong, missed, difference)


def group_sum(problem: Problem, per_image: tf.Tensor) -> tf.Tensor:
    """`[b, c]` sums to `[groups, k]`: each image its own group, or one group of the whole (global) batch."""
    return problem.over_groups(problem.select(per_image))


def image_sums(problem: Problem, **flags: bool) -> dict[str, tf.Tensor]:
    """Named sums `[b, c]` in float64 over the space of each image, for all classes, counted or not.

    Always product, missed, wrong, target, pixels. Besides, as asked for by name,
        squared: prediction_squared, target_squared, and difference_squared = sum(w*(p-y)^2);
        distance: sum(w*abs(p-y));
        logs: nll, and nll_absent but for a softmax;
        smoothing (with logs): nll_all = sum(w*-log p), and nll_absent_all = sum(w*-log(1-p)) but for a softmax.
    """
    # The fused pass over a softmax has the logarithms at hand.
    at_hand = problem.fused and problem.activation == "softmax"
    wanted = Flags(*(a or b for a, b in zip(Flags(**flags), problem.wanted, strict=True)))
    wanted = wanted._replace(logs=wanted.logs or wanted.smoothing or at_hand)
    for made, sums in problem.memo.items():
        if all(has or not needed for has, needed in zip(made, wanted, strict=True)):
            return sums
    make = fused_sums if problem.fused else plain_sums
    is_ids = problem.ids is not None
    labels = problem.ids if is_ids else problem.dense
    static = {"activation": problem.activation, "flags": wanted, "is_ids": is_ids}
    problem.memo[wanted] = make(problem.scores, labels, problem.weights(), **static)
    return problem.memo[wanted]
