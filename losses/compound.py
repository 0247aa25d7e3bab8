"""Named, weighted sums of losses that report their parts."""

import dataclasses
import importlib
from collections.abc import Mapping

import tensorflow as tf

from losses.contract import prepare
from losses.definition import COMMON
from losses.names import LOSSES, nearest, options_of, own_options, terms_of


@dataclasses.dataclass(frozen=True)
class LossValue:
    """total: the weighted sum, a scalar.   parts: each term by name, not weighted."""

    total: tf.Tensor
    parts: dict[str, tf.Tensor]


def function_of(name: str):
    """The loss of this name in `losses.names.LOSSES`."""
    options_of(name)
    return getattr(importlib.import_module(f"losses.{LOSSES[name][0]}"), name)


def build(sum_of_losses: str, weights=None, options: Mapping[str, Mapping] | None = None):
    """A loss, or a sum of them, by name.

    Args:
        sum_of_losses: names joined by `+`, such as `"dice+cross_entropy"`.
        weights: one factor for each term; None or empty for 1 each.
        options: keyword arguments by name of the term; those under `"*"` are for every term.

    Returns:
        A function `(y_true, y_pred, *, all_reduce=None, **extras) -> LossValue`; extras (mask, image_weights, maps …)
        are keyword arguments that depend on the batch and go to each term that takes them.

    Raises:
        ValueError: unknown names or options, the wrong number of weights; all in one message.
    """
    terms = terms_of(sum_of_losses)
    weights = tuple(weights or (1.0,) * len(terms))
    by_term = _options_by_term(terms, options or {})
    if len(weights) != len(terms):
        raise ValueError(f"{len(terms)} terms need {len(terms)} weights. Received: {sum_of_losses!r}, {weights=}")
    functions = {term: function_of(term) for term in terms}

    @tf.autograph.experimental.do_not_convert
    def total(y_true, y_pred, *, all_reduce=None, **extras) -> LossValue:
        unknown = [f"{e!r}" for e in extras if not any(e in options_of(term) for term in terms)]
        if unknown:
            raise TypeError(f"no term of {sum_of_losses!r} takes {', '.join(unknown)}.")
        parts, problems = {}, []
        for term in terms:
            given = by_term[term] | {k: v for k, v in extras.items() if k in options_of(term)}
            own = {k: v for k, v in given.items() if k in own_options(term)}
            shared = functions[term].common_defaults | {k: v for k, v in given.items() if k not in own}
            shared["all_reduce"] = all_reduce
            parts[term] = functions[term].on(_shared_problem(problems, term, y_true, y_pred, shared), **own)
        return LossValue(tf.add_n([w * parts[t] for w, t in zip(weights, terms, strict=True)]), parts)

    return total


def _shared_problem(problems, term, y_true, y_pred, shared):
    """The problem of an earlier term with the same options, so that both read the same sums; else a new one."""
    for known, problem in problems:
        if known == shared:
            return problem
    problem = prepare(y_true, y_pred, loss=term, **shared)
    problems.append((shared, problem))
    return problem


def _options_by_term(terms, options):
    wrong = [f"options for {key!r}, which is not a term" for key in options if key != "*" and key not in terms]
    by_term = {}
    for term in terms:
        accepted = options_of(term)
        given = dict(options.get(term, {}))
        wrong += [f"{term}: no option {o!r}{nearest(o, accepted)}" for o in given if o not in accepted]
        by_term[term] = {k: v for k, v in options.get("*", {}).items() if k in accepted} | given
    for o in options.get("*", {}):
        if not any(o in options_of(term) for term in terms):
            wrong.append(f"*: no term has an option {o!r}{nearest(o, COMMON)}")
    if wrong:
        raise ValueError("; ".join(wrong) + f".\nReceived: {options}")
    return by_term
