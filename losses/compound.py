"""Named, weighted sums of losses that report their parts, and deep supervision."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from .engine.checks import axis_names, shape_text
from .engine.contract import prepare
from .engine.spelling import nearest
from .engine.sums import Flags
from .names import COMMON, function_of, options_of, own_options, terms_of

# Options that are one value a pixel: deep supervision resizes them with the labels.
PIXEL_MAPS = ("mask", "pixel_weights")


class LossValue(NamedTuple):
    """total: the weighted sum, a scalar.   parts: each term by name, not weighted."""

    total: tf.Tensor
    parts: dict[str, tf.Tensor]


def build(
    sum_of_losses: str, weights: Sequence[float] | None = None, options: Mapping[str, Mapping] | None = None
) -> Callable[..., LossValue]:
    """A loss, or a sum of losses, by name.

    Terms with the same common options are checked once and share one pass over the logits: Dice and cross-entropy
    together cost what one of them does.

        loss = build("dice+cross_entropy", weights=(1.0, 0.5), options={"dice": {"squared": True}})
        value = loss(labels, logits)
        value.total, value.parts["dice"]

    Args:
        sum_of_losses: names of `losses.names.LOSSES` joined by `+`.
        weights: one factor for each term; None or empty for 1 each.
        options: keyword arguments by name of the term; those under `"*"` go to every term that has them. An option
            every loss shares, but one of the terms cannot honour, raises: give it to the others by name.

    Returns:
        A function `(y_true, y_pred, *, all_reduce=None, **extras) -> LossValue`. Extras are keyword arguments that
        belong to a batch (mask, image_weights, distance maps …) and go to every term that has them.

    Raises:
        ValueError: unknown names and options, a wrong number of weights: all in one message.
    """
    terms = terms_of(sum_of_losses)
    weights = tuple(float(w) for w in weights) if weights else (1.0,) * len(terms)
    by_term = _options_by_term(sum_of_losses, terms, weights, options or {})
    functions = {term: function_of(term) for term in terms}

    @tf.autograph.experimental.do_not_convert
    def total(y_true, y_pred, *, all_reduce=None, **extras) -> LossValue:
        unknown = [repr(extra) for extra in extras if not any(extra in options_of(term) for term in terms)]
        if unknown:
            raise TypeError(f"no term of {sum_of_losses!r} has an option {', '.join(unknown)}.")
        parts, problems, calls = {}, [], []
        for term in terms:
            accepted = options_of(term)
            given = by_term[term] | {k: v for k, v in extras.items() if k in accepted}
            own = {k: v for k, v in given.items() if k in own_options(term)}
            common = functions[term].common_defaults | {k: v for k, v in given.items() if k not in own}
            common["all_reduce"] = all_reduce
            calls.append((term, own, _shared_problem(problems, term, y_true, y_pred, common)))
        for term, own, problem in calls:
            # One pass for all terms of a problem: the first to come asks for what the others need, too.
            wanted = [_sums_of(other, options) for other, options, theirs in calls if theirs is problem]
            problem = dataclasses.replace(problem, loss=term, wanted=Flags(*map(any, zip(*wanted, strict=True))))
            parts[term] = functions[term].on(problem, **own)
        return LossValue(tf.add_n([w * parts[term] for w, term in zip(weights, terms, strict=True)]), parts)

    return total


def deep_supervision(
    y_true, y_preds: Sequence, *, loss, weights: Sequence[float] | None = None, **options
) -> tf.Tensor | LossValue:
    """The weighted sum of a loss over predictions at several sizes, each against the labels resized to it.

    Labels, mask and pixel weights are taken at the nearest pixel, `floor((j + 0.5) * n / s)` of n for pixel j of s, so
    ids stay ids. Wang et al. 2015, "Training deeper convolutional networks with deep supervision".

    Args:
        y_true: as for the loss, at the size of the largest prediction or larger.
        y_preds: predictions `[batch, *space, classes]`, the one at full size first.
        loss: a function of `losses`, or one that `build` made.
        weights: one for each prediction; by default 1, 1/2, 1/4 … divided by their sum, as nnU-Net. MONAI's
            DeepSupervisionLoss does not divide.
        **options: for the loss.

    Returns:
        What the loss returns: a scalar tensor, or a `LossValue` whose parts are weighted sums over the sizes, too.

    Raises:
        ValueError: no predictions, or another number of weights; labels smaller than a prediction, or with its axes
            swapped.
    """
    if not isinstance(y_preds, (list, tuple)) or not y_preds:
        raise ValueError(f"deep_supervision: y_preds must be a list of predictions. Received: y_preds={y_preds!r}")
    if weights is None:
        shares = [0.5**level for level in range(len(y_preds))]
        weights = [share / sum(shares) for share in shares]
    if len(weights) != len(y_preds):
        raise ValueError(
            f"deep_supervision: {len(y_preds)} predictions need as many weights. Received: weights={list(weights)}"
        )
    values = []
    for y_pred in y_preds:
        maps = {name: _resized(name, options[name], y_pred) for name in PIXEL_MAPS if options.get(name) is not None}
        values.append(loss(_resized("y_true", y_true, y_pred), y_pred, **(options | maps)))

    def weighted(tensors):
        return tf.add_n([weight * tensor for weight, tensor in zip(weights, tensors, strict=True)])

    if not isinstance(values[0], LossValue):
        return weighted(values)
    parts = {name: weighted([value.parts[name] for value in values]) for name in values[0].parts}
    return LossValue(weighted([value.total for value in values]), parts)


def _resized(name, values, like):
    """`[batch, *space, ...]` at the nearest pixels of the space of `like`."""
    values = tf.convert_to_tensor(values)
    last = like.shape.rank - 1
    if values.shape.rank not in (last, last + 1):
        return values  # The loss says what is wrong.
    sizes, wanted = values.shape.as_list()[1:last], like.shape.as_list()[1:last]
    if None not in sizes + wanted:
        swapped = sizes != wanted and sorted(sizes) == sorted(wanted)
        if swapped or any(size < one for size, one in zip(sizes, wanted, strict=True)):
            axes = axis_names(like.shape.rank)[1:last]
            what = "the axes of a prediction swapped" if swapped else "fewer pixels than a prediction"
            raise ValueError(
                f"deep_supervision: {name} has {what}, and it is only taken down to smaller sizes. Hand it in at full "
                f"size, its axes in the order of the predictions.\n"
                f"Received: {name} {shape_text(sizes, axes)}, a prediction {shape_text(wanted, axes)}"
            )
    for axis in range(1, last):
        if values.shape[axis] is not None and values.shape[axis] == like.shape[axis]:
            continue
        size, wanted = (tf.cast(tf.shape(x)[axis], tf.float64) for x in (values, like))
        index = tf.floor((tf.range(wanted, dtype=tf.float64) + 0.5) * size / wanted)
        values = tf.gather(values, tf.cast(index, tf.int32), axis=axis)
        values = tf.ensure_shape(values, [*values.shape[:axis], like.shape[axis], *values.shape[axis + 1 :]])
    return values


def _shared_problem(problems, term, y_true, y_pred, common):
    """The problem of an earlier term with the same options, so that both read the same sums; else a new one."""
    for known, problem in problems:
        if all(known[name] is value or _equal(known[name], value) for name, value in common.items()):
            return problem
    problem = prepare(y_true, y_pred, loss=term, **common)
    problems.append((common, problem))
    return problem


def _sums_of(term, options) -> Flags:
    """The sums a term with these options of its own asks `losses.engine.statistics.image_sums` for."""
    squared = options.get("squared", False) or term == "tanimoto"
    return Flags(
        squared=squared,
        distance=options.get("soft_label", False) and not squared,
        smoothing=options.get("label_smoothing", 0) > 0,
        logs=term in ("cross_entropy", "binary_cross_entropy", "nacl"),
    )


def _equal(a, b) -> bool:
    plain = (str, int, float, bool, type(None), list, tuple)
    return isinstance(a, plain) and isinstance(b, plain) and a == b


def _options_by_term(sum_of_losses, terms, weights, options):
    wrong = []
    if len(weights) != len(terms):
        wrong.append(f"{len(terms)} terms and {len(weights)} weights")
    wrong += [f"options for {key!r}, which is no term" for key in options if key != "*" and key not in terms]
    for_all = options.get("*", {})
    by_term = {}
    for term in terms:
        accepted, own = options_of(term), dict(options.get(term, {}))
        wrong += [f"{term} has no option {name!r}{nearest(name, accepted)}" for name in own if name not in accepted]
        refused = [name for name in for_all if name in COMMON and name not in accepted and for_all[name] is not None]
        wrong += [f"{term} cannot honour {name!r}, given for all terms" for name in refused]
        by_term[term] = {name: value for name, value in for_all.items() if name in accepted} | own
    for name in for_all:
        known = {option for term in terms for option in options_of(term)} | set(COMMON)
        if name not in known:
            wrong.append(f"no term has an option {name!r}{nearest(name, known)}")
    if wrong:
        raise ValueError(f"{'; '.join(wrong)}.\nReceived: {sum_of_losses!r}, weights={list(weights)}, {options=}")
    return by_term
