"""Every formula of the reference table once more, in NumPy alone, with a complex-step derivative.

These are written from the table and the papers, not from `losses/`, and share no line with it: sums are plain float64
sums, labels are one-hot, nothing is fused. Everything also runs on complex logits, where comparisons and absolute
values look at the real part; so the imaginary part of `f(x + 1e-30 i)` is the derivative to rounding (Squire and Trapp
1998).
"""

import numpy as np

STEP = 1e-30


def gradient(function, logits):
    """The derivative of `function` (a real scalar of the logits) by complex steps, element by element."""
    logits = np.asarray(logits, np.complex128)
    result = np.zeros(logits.shape)
    for index in np.ndindex(logits.shape):
        stepped = logits.copy()
        stepped[index] += 1j * STEP
        result[index] = np.imag(function(stepped)) / STEP
    return result


def magnitude(z):
    return np.where(np.real(z) < 0, -z, z)


def at_least(z, low):
    return np.where(np.real(z) < low, low + 0 * z, z)


def maximum(a, b):
    return np.where(np.real(a) >= np.real(b), a, b)


def softmax(z):
    e = np.exp(z - np.real(z).max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def log_softmax(z):
    z = z - np.real(z).max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def log_sigmoid(z):
    flip = np.where(np.real(z) >= 0, -z, z)
    return np.where(np.real(z) >= 0, 0, z) - np.log1p(np.exp(flip))


ACTIVATIONS = {"softmax": softmax, "sigmoid": sigmoid}


def one_hot(labels, classes):
    return (np.asarray(labels)[..., None] == np.arange(classes)).astype(float)


def dense(target, logits):
    return one_hot(target, logits.shape[-1]) if target.ndim < logits.ndim else np.asarray(target, float)


def valid_pixels(target, logits, ignore):
    target = np.asarray(target)
    if ignore is None:
        return np.ones(logits.shape[:-1] + (1,))
    mask = (target != ignore).astype(float)
    return mask[..., None] if target.ndim < logits.ndim else mask


def space(logits, batch=False):
    return tuple(range(0 if batch else 1, logits.ndim - 1))


def prepared(z, target, activation, include_background=True, mask=None, ignore=None):
    """Probabilities and labels after the activation, the mask, and the choice of classes."""
    weight = valid_pixels(target, z, ignore) * (1 if mask is None else np.asarray(mask, float))
    p, y = ACTIVATIONS[activation](z) * weight, dense(target, z) * weight
    return (p, y) if include_background else (p[..., 1:], y[..., 1:])


def reduce(values, reduction):
    return {"mean": np.mean, "sum": np.sum, "none": lambda v: v}[reduction](values)


def region(p, y, axes, *, squared=False, soft_label=False, pixel_weights=1.0):
    w = np.asarray(pixel_weights, float)
    big_p = (w * (p**2 if squared else p)).sum(axes)
    big_y = (w * (y**2 if squared else y)).sum(axes)
    i = (big_p + big_y - (w * magnitude(p - y)).sum(axes)) / 2 if soft_label else (w * p * y).sum(axes)
    return i, big_p, big_y


def dice(
    z,
    target,
    *,
    activation,
    include_background=True,
    squared=False,
    jaccard=False,
    soft_label=False,
    batch=False,
    smooth_nr=1e-5,
    smooth_dr=1e-5,
    reduction="mean",
    class_weights=None,
    pixel_weights=1.0,
    mask=None,
    ignore=None,
):
    p, y = prepared(z, target, activation, include_background, mask, ignore)
    i, big_p, big_y = region(p, y, space(z, batch), squared=squared, soft_label=soft_label, pixel_weights=pixel_weights)
    bottom = 2 * (big_p + big_y - i) if jaccard else big_p + big_y
    loss = 1 - (2 * i + smooth_nr) / (bottom + smooth_dr)
    return reduce(loss * (1 if class_weights is None else np.asarray(class_weights)), reduction)


def tversky(
    z,
    target,
    *,
    activation,
    alpha=0.5,
    beta=0.5,
    exponent=1.0,
    include_background=True,
    batch=False,
    soft_label=False,
    smooth_nr=1e-5,
    smooth_dr=1e-5,
    reduction="mean",
    ignore=None,
):
    p, y = prepared(z, target, activation, include_background, None, ignore)
    i, big_p, big_y = region(p, y, space(z, batch), soft_label=soft_label)
    score = (i + smooth_nr) / (i + alpha * (big_p - i) + beta * (big_y - i) + smooth_dr)
    return reduce((1 - score) ** exponent, reduction)


def smp_tversky(
    z,
    target,
    *,
    activation,
    alpha=0.5,
    beta=0.5,
    smooth=0.0,
    eps=1e-7,
    gamma=1.0,
    log_loss=False,
    classes=None,
    class_weights=None,
    ignore=None,
):
    p, y = prepared(z, target, activation, True, None, ignore)
    i, big_p, big_y = region(p, y, space(z, True), soft_label=True)
    score = (i + smooth) / at_least(i + alpha * (big_p - i) + beta * (big_y - i) + smooth, eps)
    loss = (-np.log(at_least(score, eps)) if log_loss else 1 - score) * (big_y > 0)
    w = np.ones(len(loss)) if class_weights is None else np.asarray(class_weights, float)
    if classes is not None:
        loss, w = loss[list(classes)], w[list(classes)]
    return ((loss * w).sum() / w.sum()) ** gamma


def gdl(
    z,
    target,
    *,
    activation,
    w_type="square",
    include_background=True,
    batch=False,
    smooth_nr=1e-5,
    smooth_dr=1e-5,
    reduction="mean",
    soft_label=False,
    ignore=None,
):
    p, y = prepared(z, target, activation, include_background, None, ignore)
    i, big_p, big_y = region(p, y, space(z, batch), soft_label=soft_label)
    with np.errstate(divide="ignore"):
        w = {"square": 1 / big_y**2, "simple": 1 / big_y, "uniform": np.ones_like(big_y)}[w_type]
    finite = np.where(np.isinf(w), 0.0, w)
    w = np.where(np.isinf(w), finite.max(-1, keepdims=True), w)
    loss = 1 - (2 * (w * i).sum(-1) + smooth_nr) / ((w * (big_p + big_y)).sum(-1) + smooth_dr)
    return reduce(loss, reduction)


def gwdl(z, target, *, M, weighting_mode="default", smooth_nr=1e-5, smooth_dr=1e-5, reduction="mean"):
    y, p, axes = dense(target, z), softmax(z), space(z)
    matrix = np.asarray(M, float) / np.max(M)
    w = np.einsum("...l,lc,...c->...", y, matrix, p)
    if weighting_mode == "default":
        a = (np.asarray(target) != 0).astype(float)
        bottom = 2 * (a * (1 - w)).sum(axes) + w.sum(axes)
    else:
        a = (y / (y.sum(axes, keepdims=True) + 1)).sum(-1)
        bottom = (a * (2 - w)).sum(axes)
    return reduce(1 - (2 * (a * (1 - w)).sum(axes) + smooth_nr) / (bottom + smooth_dr), reduction)


def focal_sigmoid(z, target, *, gamma=2.0, alpha=None, reduction="mean", include_background=True, ignore=None):
    y, keep = dense(target, z), valid_pixels(target, z, ignore)
    y = np.where(keep > 0, y, 0)
    log_p, log_q = log_sigmoid(z), log_sigmoid(-z)
    loss = -(y * log_p + (1 - y) * log_q) * np.exp(gamma * np.where(y > 0.5, log_q, log_p))
    loss = loss * (1 if alpha is None else alpha * y + (1 - alpha) * (1 - y))
    loss = loss if include_background else loss[..., 1:]
    if ignore is not None:
        return (loss * keep).sum() / (keep.sum() * loss.shape[-1])
    return loss.mean() if reduction == "mean" else loss.mean(space(z)).sum()


def focal_softmax(z, target, *, gamma=2.0, alpha=None, reduction="mean", include_background=True, ignore=None):
    keep = valid_pixels(target, z, ignore)
    y, log_p = dense(target, z) * keep, log_softmax(z)
    loss = -((1 - np.exp(log_p)) ** gamma) * log_p * y
    alphas = [1 - alpha] + [alpha] * (z.shape[-1] - 1) if np.ndim(alpha) == 0 and alpha is not None else alpha
    loss = loss * (1 if alpha is None else np.array(alphas))
    loss = loss if include_background else loss[..., 1:]
    if reduction == "none" or ignore is not None:
        return loss if reduction == "none" else loss.sum() / keep.sum()
    return loss.mean() if reduction == "mean" else loss.mean(space(z)).sum()


def ce(z, target, *, ignore=None, class_weights=None, label_smoothing=0.0):
    """As `torch.nn.CrossEntropyLoss`, whose smoothing weighs every class's share by that class's weight."""
    keep = valid_pixels(target, z, ignore)
    y, w = dense(target, z) * keep, np.ones(z.shape[-1]) if class_weights is None else np.asarray(class_weights, float)
    log_p = log_softmax(z)
    top = (1 - label_smoothing) * -(w * y * log_p).sum() + label_smoothing / z.shape[-1] * -(w * log_p * keep).sum()
    return top / (w * y).sum()


def topk_ce(z, target, *, k=10, ignore=None):
    """Of all pixels: one that is ignored is a loss of 0."""
    nll = -(dense(target, z) * valid_pixels(target, z, ignore) * log_softmax(z)).sum(-1).ravel()
    count = int(nll.size * k / 100)
    return nll[np.argsort(-np.real(nll))[:count]].mean()


def bce(z, target, keep=1.0):
    y = np.where(np.broadcast_to(keep, z.shape) > 0, dense(target, z), 0.0)
    loss = -(y * log_sigmoid(z) + (1 - y) * log_sigmoid(-z)) * keep
    return loss.sum() / np.sum(np.broadcast_to(keep, z.shape))
