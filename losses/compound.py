"""Named, weighted sums of losses that report their parts, in loops of your own and in Keras."""

import dataclasses
import typing
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from .engine.contract import prepare
from .engine.keras_calls import REGISTERED, plain, share_of_replica, sums_over_replicas, weights_of
from .engine.spelling import nearest
from .engine.sums import Flags
from .names import COMMON, function_of, options_of, own_options, term_of, terms_of

_NOT_GIVEN = object()
# The attribute of predictions that keeps the value made of them.
_MADE = "_gradline_value"


class _TotalAlone:
    """What a gradient of a LossValue is taken of."""

    def get_gradient_components(self, value):
        return value.total


class LossValue(tf.experimental.ExtensionType):
    """What a sum of losses is for one batch. Where TensorFlow or Keras wants a tensor, it is its total.

    Attributes:
        total: the weighted sum, a scalar.
        parts: each term by name, not weighted.
    """

    total: tf.Tensor
    parts: typing.Mapping[str, tf.Tensor]

    # No public name says what a tape differentiates; without it, `tape.gradient(value, …)` is refused.
    __composite_gradient__ = _TotalAlone()

    def __tf_tensor__(self, dtype=None, name=None):
        return tf.convert_to_tensor(self.total, dtype, name=name)


def build(
    sum_of_losses: str,
    weights: Sequence[float] | None = None,
    options: Mapping[str, Mapping] | None = None,
    *,
    name: str | None = None,
    **for_all,
) -> "Compound":
    """A loss, or a sum of losses, by name.

        loss = build("dice+cross_entropy", weights=(1.0, 0.5), options={"dice": {"squared": True}})
        value = loss(labels, logits)
        value.total, value.parts["dice"]

        model.compile("adam", build("dice+bce"), metrics=…)      # for Keras: see `Compound`

    Terms with the same common options are checked once and share one pass over the logits: Dice and cross-entropy
    together cost what one of them does.

    Args:
        sum_of_losses: names of `losses.names`, short ones too ("ce"), joined by `+`.
        weights: one factor for each term; None or empty for 1 each.
        options: keyword arguments by name of the term; those under `"*"` go to every term that has them. An option
            every loss shares, but one of the terms cannot honour, raises: give it to the others by name.
        name: for Keras; by default the names of the terms.
        **for_all: options that go to every term that has them, another way to write those under `"*"`.

    Where no term is given an `activation`, all of them take the sigmoid if one of them is for sigmoids
    ("dice+binary_cross_entropy"), so that one model output has one meaning.

    Returns:
        A `Compound`: a function `(y_true, y_pred, *, all_reduce=None, **extras) -> LossValue`, and a Keras loss.

    Raises:
        ValueError: unknown names and options, a wrong number of weights: all in one message.
    """
    options = {key: dict(given) for key, given in (options or {}).items()}
    if for_all:
        options["*"] = {**options.get("*", {}), **for_all}
    return Compound(sum_of_losses, weights, options, name=name)


@keras.saving.register_keras_serializable(REGISTERED)
class Compound(keras.losses.Loss):
    """A sum of losses by name, which `build` makes; `build` describes the arguments.

    In a loop of your own, `loss(y_true, y_pred)` is a `LossValue` with total and parts. Keyword arguments that belong
    to a batch (mask, image_weights, distance maps …) go to every term that has them. `all_reduce` maps sums over this
    replica's batch to sums over the global batch, for losses with over="batch"; the total is then the global batch's on
    every replica, and else a mean over this replica's images: in both cases the replicas' values are to be averaged.

    In Keras, which passes the third argument (`sample_weight`, or None), it is the number that `fit` expects: divided
    by the number of replicas, sums over the batch taken over all of them. `sample_weight` of `[batch]` weighs images,
    of `[batch, *space]` pixels, inside the sums. Labels are ids or one-hot. The parts are metrics:

        loss = losses.build("dice+binary_cross_entropy")
        model.compile("adam", loss, metrics=loss.metrics())      # weighted_metrics=, with a sample_weight
        model.fit(images, masks)                                 # loss: … - dice: … - binary_cross_entropy: …

    A saved model is loaded where `losses.keras_losses` has been imported, since Keras imports no code by itself.
    """

    def __init__(self, sum_of_losses, weights=None, options=None, name=None):
        self.terms = terms_of(sum_of_losses)
        self.weights = tuple(float(weight) for weight in weights) if weights else (1.0,) * len(self.terms)
        self._functions = {term: function_of(term) for term in self.terms}
        self._options = _options_by_term(sum_of_losses, self.terms, self.weights, options or {})
        _agree_on_activation(self._functions, self._options)
        super().__init__(name=name or "_".join(self.terms))
        self._config = {
            "name": self.name,
            "sum_of_losses": "+".join(self.terms),
            "weights": list(self.weights),
            "options": plain(dict(options or {})),
        }
        self._sum = repr({key: value for key, value in self._config.items() if key != "name"})

    @tf.autograph.experimental.do_not_convert
    def __call__(self, y_true, y_pred, sample_weight=_NOT_GIVEN, *, all_reduce=None, **extras):
        if sample_weight is _NOT_GIVEN:
            return self._value(y_true, y_pred, all_reduce, extras)
        return share_of_replica(self.value_in_keras(y_true, y_pred, sample_weight).total)

    def metrics(self) -> list["Part"]:
        """A Keras metric for each term: its mean over the images, not weighted."""
        return [Part(self, term) for term in self.terms]

    def get_config(self):
        return self._config

    def value_in_keras(self, y_true, y_pred, sample_weight) -> LossValue:
        """The value of one batch for `fit`, made once: Keras asks the loss first, and then the metric of each part."""
        y_pred = tf.convert_to_tensor(y_pred)
        graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
        arguments = (y_true, sample_weight, graph)
        sum_of_losses, made_of, value = getattr(y_pred, _MADE, (None, arguments, None))
        if sum_of_losses == self._sum and all(a is b for a, b in zip(made_of, arguments, strict=True)):
            return value
        value = self._value(y_true, y_pred, sums_over_replicas(), weights_of(sample_weight, y_pred))
        if value.total.shape.rank != 0:
            raise ValueError(
                f"{self.name}: Keras trains on one number, and reduction='none' leaves {value.total.shape}. Take the "
                "option out of the loss."
            )
        # On the tensor itself, as Keras keeps its masks, so that it goes when the tensor goes.
        setattr(y_pred, _MADE, (self._sum, arguments, value))
        return value

    def _value(self, y_true, y_pred, all_reduce, extras) -> LossValue:
        unknown = [repr(extra) for extra in extras if not any(extra in options_of(term) for term in self.terms)]
        if unknown:
            raise TypeError(f"no term of {'+'.join(self.terms)!r} has an option {', '.join(unknown)}.")
        parts, problems, calls = {}, [], []
        for term in self.terms:
            accepted = options_of(term)
            given = self._options[term] | {k: v for k, v in extras.items() if k in accepted}
            own = {k: v for k, v in given.items() if k in own_options(term)}
            common = self._functions[term].common_defaults | {k: v for k, v in given.items() if k not in own}
            common["all_reduce"] = all_reduce
            calls.append((term, own, _shared_problem(problems, term, y_true, y_pred, common)))
        for term, own, problem in calls:
            # One pass for all terms of a problem: the first to come asks for what the others need, too.
            wanted = [_sums_of(other, options) for other, options, theirs in calls if theirs is problem]
            problem = dataclasses.replace(problem, loss=term, wanted=Flags(*map(any, zip(*wanted, strict=True))))
            parts[term] = self._functions[term].on(problem, **own)
        total = tf.add_n([weight * parts[term] for weight, term in zip(self.weights, self.terms, strict=True)])
        return LossValue(total, parts)


@keras.saving.register_keras_serializable(REGISTERED)
class Part(keras.metrics.Mean):
    """One term of a `Compound` as a Keras metric: its mean over all images seen. `Compound.metrics` makes them."""

    def __init__(self, loss, term, name=None, dtype=None):
        super().__init__(name=name or term, dtype=dtype)
        self.loss = keras.saving.deserialize_keras_object(loss) if isinstance(loss, dict) else loss
        self.term = term

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch; arguments as for a Keras loss."""
        value = self.loss.value_in_keras(y_true, y_pred, sample_weight)
        images = tf.cast(tf.shape(y_pred)[0], self.dtype)
        return super().update_state(value.parts[self.term], sample_weight=images)

    def get_config(self):
        return super().get_config() | {"loss": keras.saving.serialize_keras_object(self.loss), "term": self.term}


def _agree_on_activation(functions, options):
    """Gives every term the sigmoid if one of them is for sigmoids and nobody said otherwise."""
    if any("activation" in given for given in options.values()):
        return
    if any(function.common_defaults.get("activation") == "sigmoid" for function in functions.values()):
        for given in options.values():
            given["activation"] = "sigmoid"


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
    known = (str, int, float, bool, type(None), list, tuple)
    return isinstance(a, known) and isinstance(b, known) and a == b


def _options_by_term(sum_of_losses, terms, weights, options):
    wrong = []
    if len(weights) != len(terms):
        wrong.append(f"{len(terms)} terms and {len(weights)} weights")
    by_key: dict[str, list] = {}
    for key in options:
        by_key.setdefault(key if key == "*" else term_of(key), []).append(key)
    for term, keys in by_key.items():
        if term not in (*terms, "*"):
            wrong.append(f"options for {keys[0]!r}, which is no term")
        elif len(keys) > 1:
            wrong.append(f"options for {' and '.join(map(repr, keys))}, the same term")
    for_all = options.get("*", {})
    by_term = {}
    for term in terms:
        accepted = options_of(term)
        own = {name: value for key in by_key.get(term, ()) for name, value in options[key].items()}
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
