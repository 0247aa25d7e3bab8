"""The pixel losses of the reference table: cross-entropies and focal losses, and what each library divides them by."""

import numpy as np
import tensorflow as tf

from tests.golden_case import Unoffered, call


def cross_entropy(case, y, z):
    shared = case.shared(y, z) | {"activation": "softmax", "over": "batch", "include_background": None}
    weights, smoothing = case.weights("weight", "weights"), case.take("label_smoothing")
    return call("cross_entropy", y, z, class_weights=weights, label_smoothing=smoothing, **shared)


def topk_ce(case, y, z):
    """Of all pixels, those that are ignored too, `int(n * k / 100)` are taken: an ignored one counts as a loss of 0."""
    if case.take("reduction", default="mean") != "mean":
        raise Unoffered(f"top-k with reduction {case.take('reduction')!r}")
    taken = max(int(np.prod(z.shape[:-1]) * case.take("k", default=10) / 100), 1)
    counted = valid_pixels(case, y, z).sum()
    total = call(
        "top_k_cross_entropy",
        y,
        z,
        percent=100 * min(taken, counted) / counted,
        class_weights=case.weights("weight"),
        label_smoothing=case.take("label_smoothing"),
        **{**case.shared(y, z), "activation": "softmax", "over": "batch", "reduction": "sum"},
    )
    return total / taken


def binary_cross_entropy(case, y, z):
    shared = case.shared(y, z) | {"activation": "sigmoid", "over": "batch", "include_background": None}
    positive, weights = case.take("pos_weight", "weight"), case.weights()
    smoothing = case.take("label_smoothing", default=2 * case.take("smooth_factor", default=0.0))
    options = {"positive_weight": positive, "class_weights": weights, "label_smoothing": smoothing}
    reduction = shared.pop("reduction")
    if reduction in ("none", "sum"):
        return call("binary_cross_entropy", y, z, reduction=reduction, **options, **shared)
    valid = np.broadcast_to(valid_pixels(case, y, z), z.shape)
    # The mean over all elements; smp counts those that are ignored, too.
    divisor = valid.size if case.library == "segmentation_models_pytorch" else max(valid.sum(), 1)
    return call("binary_cross_entropy", y, z, reduction="sum", **options, **shared) / divisor


def focal_sigmoid(case, y, z):
    if np.ndim(case.take("alpha", default=0.0)):
        raise Unoffered("an alpha for each class of 'focal_sigmoid'")
    return _focal(case, y, z, "focal_sigmoid", "sigmoid")


def focal_softmax(case, y, z):
    return _focal(case, y, z, "focal_softmax", "softmax")


def _focal(case, y, z, name, activation):
    """From the sum over all elements: its divisor is the libraries' own, and differs where pixels are ignored."""
    shared = {**case.shared(y, z), "activation": activation, "over": "image"}
    options = {"gamma": case.take("gamma", default=2.0), "alpha": case.take("alpha")}
    weights = options["class_weights"] = case.weights("weight")
    reduction, ignoring = shared.pop("reduction"), shared["ignore_id"] is not None
    if reduction == "none":
        values = call(name, y, z, reduction="none", **options, **shared)
        return values if name == "focal_sigmoid" else _at_labels(values, y, z, shared)
    classes = z.shape[-1] - (shared["include_background"] is False)
    valid = valid_pixels(case, y, z)
    if name == "focal_softmax" or case.library == "monai":
        classes = classes if not ignoring else 1
    elif weights is not None and case.library == "segmentation_models_pytorch":
        classes = np.sum(weights)
    # Channels ignored by themselves are counted by themselves.
    pixels = valid.mean(axis=-1).reshape(len(valid), -1).sum(axis=-1)
    divisor = pixels if reduction == "sum" else np.full(len(valid), pixels.sum() * classes)
    return call(name, y, z, reduction="sum", image_weights=1 / np.maximum(divisor, 1), **options, **shared)


def _at_labels(values, y, z, shared):
    """`[b, *space]` values in the channel of each pixel's label, of the classes that count."""
    labels = tf.one_hot(y, z.shape[-1], dtype=values.dtype) if len(y.shape) < len(z.shape) else y
    first = 1 if shared["include_background"] is False else 0
    return (labels * values[..., tf.newaxis])[..., first:]


def valid_pixels(case, y, z):
    """`[b, *space, 1 or c]`, 1 where labels count."""
    ignored = case.take("ignore", "ignore_index", "ignore_id", "ignore_label", "ignore_class")
    if ignored is None:
        return np.ones((*z.shape[:-1], 1))
    valid = (np.asarray(y) != ignored).astype(np.float64)
    return valid if valid.ndim == len(z.shape) else valid[..., np.newaxis]


def gce(case, y, z):
    shared = {**case.shared(y, z), "over": "batch"}
    return call("generalised_cross_entropy", y, z, q=case.take("q", default=0.5), **shared)


def nacl(case, y, z):
    if case.take("kernel_ops", default="mean") != "mean":
        raise Unoffered(f"a {case.take('kernel_ops')} kernel of the loss 'nacl'")
    options = {
        "alpha": case.take("alpha"),
        "kernel_size": case.take("kernel_size", "size"),
        "distance": case.take("distance_type", "distance", "norm", default="l2" if case.take("l2") else "l1"),
    }
    case.take("classes", "dim")
    return call("nacl", y, z, **options, **{**case.shared(y, z), "activation": "softmax", "over": "batch"})
