"""The library variants, sums and rarities of the reference table in NumPy; the rules of `closed_forms` hold here
too."""

import numpy as np

from tests.losses.closed_forms import (
    ACTIVATIONS,
    at_least,
    bce,
    ce,
    dense,
    dice,
    focal_sigmoid,
    gdl,
    log_sigmoid,
    log_softmax,
    magnitude,
    prepared,
    region,
    sigmoid,
    softmax,
    space,
)


def keras_dice(z, target, *, activation, axis=None):
    p, y = ACTIVATIONS[activation](z), dense(target, z)
    axes = tuple(range(z.ndim)) if axis is None else tuple(axis)
    return np.mean(1 - 2 * (p * y).sum(axes) / (p.sum(axes) + y.sum(axes) + 1e-7))


def keras_tversky(z, target, *, alpha=0.5, beta=0.5, activation="sigmoid", axis=None):
    """As keras 3.15.1 computes it: alpha on the false negatives."""
    p, y = ACTIVATIONS[activation](z), dense(target, z)
    axes = tuple(range(z.ndim)) if axis is None else tuple(axis)
    i = (p * y).sum(axes)
    return np.mean(1 - i / (i + beta * (p - p * y).sum(axes) + alpha * (y - p * y).sum(axes) + 1e-7))


def nnunet_dice(z, target, *, activation="softmax", batch_dice=False, do_bg=True, smooth=1.0, ignore=None):
    p, y = prepared(z, target, activation, do_bg, None, ignore)
    i, big_p, big_y = region(p, y, space(z, batch_dice))
    return -np.mean((2 * i + smooth) / at_least(big_p + big_y + smooth, 1e-8))


def nn_dcce(z, target, *, ignore=None, weight_dice=1.0, weight_ce=1.0):
    overlap = nnunet_dice(z, target, batch_dice=True, do_bg=False, smooth=1e-5, ignore=ignore)
    return weight_dice * overlap + weight_ce * ce(z, target, ignore=ignore)


def dicece(z, target, *, lambda_dice=1.0, lambda_ce=1.0, label_smoothing=0.0):
    return lambda_dice * dice(z, target, activation="softmax") + lambda_ce * ce(
        z, target, label_smoothing=label_smoothing
    )


def dicebce(z, target, *, lambda_dice=1.0, lambda_ce=1.0):
    return lambda_dice * dice(z, target, activation="sigmoid") + lambda_ce * bce(z, target)


def dicefocal(z, target, *, activation="softmax", gamma=2.0, lambda_dice=1.0, lambda_focal=1.0):
    return lambda_dice * dice(z, target, activation=activation) + lambda_focal * focal_sigmoid(z, target, gamma=gamma)


def gdfocal(z, target, *, activation="softmax", gamma=2.0, lambda_gdl=1.0, lambda_focal=1.0, w_type="square"):
    overlap = gdl(z, target, activation=activation, w_type=w_type)
    return lambda_gdl * overlap + lambda_focal * focal_sigmoid(z, target, gamma=gamma)


def two_class_tversky(p, y, delta, eps, axes):
    tp, fn, fp = (p * y).sum(axes), ((1 - p) * y).sum(axes), (p * (1 - y)).sum(axes)
    return (tp + eps) / (tp + delta * fn + (1 - delta) * fp + eps)


def aufl_monai(z, target, *, activation="softmax", weight=0.5, gamma=0.5, delta=0.7):
    y, p = dense(target, z), ACTIVATIONS[activation](z)
    p = np.where(np.real(p) > 1 - 1e-7, 1 - 1e-7, at_least(p, 1e-7))
    t = two_class_tversky(p, y, delta, 1e-7, space(z))
    ftl = np.mean(np.stack([1 - t[:, 0], (1 - t[:, 1]) ** (1 - gamma)]))
    nll = -y * np.log(p)
    fl = np.mean(np.stack([(1 - delta) * (1 - p[..., 0]) ** gamma * nll[..., 0], delta * nll[..., 1]]))
    return weight * fl + (1 - weight) * ftl


def unified_focal(z, target, *, activation="softmax", asym=False, weight=0.5, delta=0.6, gamma=0.5, eps=1e-7):
    y, p = dense(target, z), ACTIVATIONS[activation](z)
    nll = -y * log_softmax(z)
    t = two_class_tversky(p, y, delta, eps, space(z))
    focus = (1 - p) ** gamma
    back, fore = (1 - delta) * focus[..., 0] * nll[..., 0], delta * nll[..., 1] * (1 if asym else focus[..., 1])
    ftl = np.mean(np.stack([(1 - t[:, 0]) ** (1 if asym else 1 - gamma), (1 - t[:, 1]) ** (1 - gamma)]))
    return weight * ftl + (1 - weight) * np.mean(back + fore)


def log_cosh_dice(z, target, *, activation):
    return np.log(np.cosh(dice(z, target, activation=activation)))


def log_cosh_dice_per_class(z, target, *, activation):
    return np.mean(np.log(np.cosh(dice(z, target, activation=activation, reduction="none"))))


def exp_log(z, target, *, class_weights=None, w_dice=0.8, w_ce=0.2, gamma=0.3):
    y, log_p = dense(target, z), log_softmax(z)
    score = 1 - dice(z, target, activation="softmax", reduction="none")
    w = np.ones(z.shape[-1]) if class_weights is None else np.asarray(class_weights, float)
    nll = -(y * log_p).sum(-1)
    return w_dice * np.mean((-np.log(score)) ** gamma) + w_ce * np.mean((y * w).sum(-1) * nll**gamma)


def combo(z, target, *, alpha=0.5, beta=0.5):
    y, p = dense(target, z), sigmoid(z)
    cross = np.mean(-(beta * y * log_sigmoid(z) + (1 - beta) * (1 - y) * log_sigmoid(-z)))
    return alpha * cross - (1 - alpha) * (1 - dice(z, target, activation="sigmoid", batch=True)) + 0 * p.sum()


def sens_spec(z, target, *, activation):
    y, p, axes = dense(target, z), ACTIVATIONS[activation](z), space(z)
    d = (y - p) ** 2
    return np.mean(
        0.05 * (d * y).sum(axes) / (y.sum(axes) + 1e-5) + 0.95 * (d * (1 - y)).sum(axes) / ((1 - y).sum(axes) + 1e-5)
    )


def tanimoto_dual(z, target, *, activation):
    y, p, axes = dense(target, z), ACTIVATIONS[activation](z), space(z)

    def tanimoto(a, b):
        i = (a * b).sum(axes)
        return (i + 1e-5) / ((a**2).sum(axes) + (b**2).sum(axes) - i + 1e-5)

    return np.mean(1 - (tanimoto(p, y) + tanimoto(1 - p, 1 - y)) / 2)


def gce(z, target, *, q=0.5):
    return np.mean((1 - (dense(target, z) * softmax(z)).sum(-1) ** q) / q)


def nacl(z, target, *, alpha=0.1, distance_type="l1"):
    u = dense(target, z)
    for axis in space(z):
        padded = np.pad(u, [(1, 1) if a == axis else (0, 0) for a in range(u.ndim)])
        u = sum(np.take(padded, np.arange(u.shape[axis]) + shift, axis) for shift in range(3)) / 3
    gap = magnitude(u - z) if distance_type == "l1" else (u - z) ** 2
    return ce(z, target) + alpha * np.mean(gap)


def wnorm(z, target, *, class_weights, activation="softmax"):
    w = np.asarray(class_weights, float)
    return np.mean((dice(z, target, activation=activation, reduction="none") * w).sum(-1) / w.sum())


def bceval(z, target, *, pos_weight=1.0, label_smoothing=0.0):
    y = (1 - label_smoothing) * dense(target, z) + label_smoothing / 2
    return np.mean(-(pos_weight * y * log_sigmoid(z) + (1 - y) * log_sigmoid(-z)))


def sample(z, target, *, weights, norm="batch", activation="softmax"):
    per_image = dice(z, target, activation=activation, reduction="none").mean(-1)
    return (per_image * weights).sum() / (len(z) if norm == "batch" else np.sum(weights))
