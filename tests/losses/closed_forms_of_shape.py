"""The ranking, correlation and shape formulas of the reference table in NumPy; the rules of `closed_forms` hold here
too."""

import numpy as np
from scipy.ndimage import distance_transform_edt

from tests.losses.closed_forms import at_least, dice, magnitude, maximum, prepared, reduce, softmax, space


def lovasz_gradient(truth):
    total = truth.sum()
    jaccard = 1 - (total - truth.cumsum()) / (total + (1 - truth).cumsum())
    return np.diff(jaccard, prepend=0.0)


def ranked(errors, truth):
    order = np.argsort(-np.real(errors), kind="stable")
    return (errors[order] * lovasz_gradient(truth[order])).sum()


def images(z, target, per_image):
    return [(z[b : b + 1], target[b : b + 1]) for b in range(len(z))] if per_image else [(z, target)]


def lovasz_hinge(z, target, *, per_image=False, ignore=None):
    losses = []
    for image, labels in images(z, np.asarray(target), per_image):
        labels = labels.ravel()
        keep = np.ones(labels.shape, bool) if ignore is None else labels != ignore
        truth, scores = labels[keep].astype(float), image.ravel()[keep]
        losses.append(ranked(at_least(1 - scores * (2 * truth - 1), 0.0), truth))
    return np.mean(losses)


def lovasz_softmax(z, target, *, classes="present", per_image=False, ignore=None):
    losses = []
    for image, labels in images(z, np.asarray(target), per_image):
        p, labels = softmax(image).reshape(-1, z.shape[-1]), labels.ravel()
        keep = np.ones(labels.shape, bool) if ignore is None else labels != ignore
        chosen = [c for c in range(z.shape[-1]) if classes == "all" or (labels[keep] == c).any()]
        truth = {c: (labels[keep] == c).astype(float) for c in chosen}
        losses.append(np.mean([ranked(magnitude(truth[c] - p[keep, c]), truth[c]) for c in chosen]))
    return np.mean(losses)


def mcc_monai(
    z, target, *, activation, batch=False, include_background=True, smooth_nr=0.0, smooth_dr=1e-5, reduction="mean"
):
    p, y = prepared(z, target, activation, include_background)
    axes = space(z, batch)
    tp, tn = (p * y).sum(axes), ((1 - p) * (1 - y)).sum(axes)
    fp, fn = (p * (1 - y)).sum(axes), ((1 - p) * y).sum(axes)
    return reduce(
        1 - (tp * tn - fp * fn + smooth_nr) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn) + smooth_dr),
        reduction,
    )


def mcc_smp(z, target, *, activation="sigmoid", eps=1e-5):
    p, y = prepared(z, target, activation)
    tp, tn = (p * y).sum() + eps, ((1 - p) * (1 - y)).sum() + eps
    fp, fn = (p * (1 - y)).sum() + eps, ((1 - p) * y).sum() + eps
    return 1 - (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))


def has_border(mask):
    return mask.any() and not mask.all()


def each_channel(function, values):
    return np.stack(
        [np.stack([function(values[b, ..., c]) for c in range(values.shape[-1])], -1) for b in range(len(values))]
    )


def signed_distance(mask):
    if not has_border(mask):
        return np.zeros(mask.shape)
    return np.where(mask, 1 - distance_transform_edt(mask), distance_transform_edt(~mask))


def distance_both_sides(mask):
    return distance_transform_edt(mask) + distance_transform_edt(~mask) if has_border(mask) else np.zeros(mask.shape)


def boundary(z, target, *, activation, include_background=True, reduction="mean"):
    p, y = prepared(z, target, activation, include_background)
    return reduce((p * each_channel(signed_distance, y > 0.5)).mean(space(z)), reduction)


def hausdorff_dt(
    z, target, *, activation, include_background=False, alpha=2.0, log=False, batch=False, reduction="mean"
):
    p, y = prepared(z, target, activation, include_background or z.shape[-1] == 1)
    d_p, d_y = (each_channel(distance_both_sides, np.real(v) > 0.5) for v in (p, y))
    value = reduce(((p - y) ** 2 * (d_p**alpha + d_y**alpha)).mean(space(z, batch)), reduction)
    return np.log(value + 1) if log else value


def window(values, axes, choose):
    """The extreme of three neighbours along each of `axes`, as a cross (erosion) or, when folded, a square
    (dilation)."""
    results = []
    for axis in axes:
        padded = np.pad(values, [(1, 1) if a == axis else (0, 0) for a in range(values.ndim)], mode="edge")
        pieces = [np.take(padded, np.arange(values.shape[axis]) + shift, axis) for shift in range(3)]
        results.append(choose(choose(pieces[0], pieces[1]), pieces[2]))
    return results


def erode(v):
    pieces = window(v, space(v), lambda a, b: -maximum(-a, -b))
    for piece in pieces[1:]:
        pieces[0] = -maximum(-pieces[0], -piece)
    return pieces[0]


def dilate(v):
    for axis in space(v):
        (v,) = window(v, (axis,), maximum)
    return v


def skeleton(v, rounds):
    result = at_least(v - dilate(erode(v)), 0.0)
    for _ in range(rounds):
        v = erode(v)
        delta = at_least(v - dilate(erode(v)), 0.0)
        result = result + at_least(delta - result * delta, 0.0)
    return result


def cldice(z, target, *, activation, iter_=3, smooth_nr=1.0, smooth_dr=1.0, smooth=1e-4, include_background=True):
    p, y = prepared(z, target, activation, include_background)
    axes = tuple(range(1, z.ndim))
    s_p, s_y = skeleton(p, iter_), skeleton(y, iter_)
    precision = ((s_p * y).sum(axes) + smooth_nr) / (s_p.sum(axes) + smooth_dr)
    recall = ((s_y * p).sum(axes) + smooth_nr) / (s_y.sum(axes) + smooth_dr)
    return np.mean(1 - 2 * precision * recall / (precision + recall + smooth))


def dicecldice(z, target, *, activation, alpha=0.5, iter_=3):
    overlap = dice(z, target, activation=activation, smooth_nr=1.0, smooth_dr=1.0)
    return (1 - alpha) * overlap + alpha * cldice(z, target, activation=activation, iter_=iter_)
