"""One batch through a copy: the output of each layer, and the gradient that arrives there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .activation import SATURATING, activation_of
from .change import Change, Suspicion, fault
from .finding import Finding
from .output import DROPOUTS, RECURRENT, layers_of
from .pair import Pair
from .program import Program
from .trial import Trial

# Their derivative is zero wherever it exists, and TensorFlow returns zeros rather than None.
_FLAT = frozenset({"Sign", "Floor", "Ceil", "Round", "Rint", "FloorDiv"})


@dataclasses.dataclass(frozen=True)
class Weights:
    """The main weights of a layer, with the gradients that a batch sends them.

    Attributes:
      layer: the copy's Keras layer.
      kernel: its values.
      gradient: the gradient of the loss on the data; None if none arrives.
      penalty: the gradient of what the layers add to the loss; None if none arrives.
    """

    layer: Any
    kernel: np.ndarray
    gradient: np.ndarray | None
    penalty: np.ndarray | None

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def fan_in(self) -> int:
        return int(np.prod(self.kernel.shape[:-1]))

    @property
    def scale(self) -> float:
        """Root mean square of the kernel times the root of its fan-in: about 1 for the usual initial weights."""
        return float(np.sqrt(np.mean(self.kernel.astype("float64") ** 2) * self.fan_in))

    @property
    def off(self) -> float:
        """How many times larger (or, below 1, smaller) the weights are than with the usual initialisers.

        1 within the range of these: some use the number of inputs alone, some that of outputs as well, which differs
        for a layer with few inputs and many units.
        """
        alike = float(np.sqrt(2 * self.fan_in / (self.fan_in + self.kernel.shape[-1])))
        ratios = self.scale, self.scale / alike
        return min(ratios) if min(ratios) > 1 else max(ratios) if max(ratios) < 1 else 1.0

    @property
    def arriving(self) -> float:
        """Root mean square of the gradient; 0 if none arrives."""
        return 0.0 if self.gradient is None else float(np.sqrt(np.mean(self.gradient.astype("float64") ** 2)))


@dataclasses.dataclass(frozen=True)
class Look:
    """A batch as the untrained copy sees it.

    Attributes:
      predictions: in inference mode.
      loss, penalty: on the batch, in training mode.
      weights: of every layer with a trainable kernel, in the order of the layers.
      blank: names of embeddings that are zero throughout, as is their gradient.
      missing: paths of trainable variables that get no gradient.
      answers: layer name -> the layer's output for the batch, where the model is a graph of layers.
      error: the exception that the loss raised, or None.
    """

    predictions: Any = None
    loss: float = float("nan")
    penalty: float = 0.0
    weights: tuple[Weights, ...] = ()
    missing: tuple[str, ...] = ()
    blank: tuple[str, ...] = ()
    answers: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    error: Exception | None = None


def look(program: Program, trial: Trial, rows: int = 256) -> Look:
    """Runs a batch through a trial's copy."""
    x, y = program.batch(rows)
    model = trial.model
    predictions = keras.tree.map_structure(np.asarray, model(x, training=False))
    variables = model.trainable_variables
    try:
        with tf.GradientTape(persistent=True) as tape:
            data, penalty = trial.loss(x, y)
        gradients = tape.gradient(data, variables)
        penalties = tape.gradient(penalty, variables) if model.losses else [None] * len(variables)
    except Exception as error:  # a user's loss may raise anything; it is reported, not hidden
        return Look(predictions, answers=_answers(model, x), error=error)
    by_id = {id(v): (_array(g), _array(p)) for v, g, p in zip(variables, gradients, penalties, strict=True)}
    weights = []
    for layer in layers_of(model):
        kernel = kernel_of(layer)
        if kernel is not None and id(kernel) in by_id and all(layer is not known.layer for known in weights):
            weights.append(Weights(layer, np.asarray(kernel), *by_id[id(kernel)]))
    missing = tuple(v.path for v, g in zip(variables, gradients, strict=True) if g is None)
    blank = []
    for layer in layers_of(model):
        table = getattr(layer, "embeddings", None)
        gradient = by_id.get(id(table), (None, None))[0]
        if gradient is not None and not gradient.any() and not np.asarray(table).any():
            blank.append(layer.name)
    return Look(predictions, float(data), float(penalty), tuple(weights), missing, tuple(blank), _answers(model, x))


def kernel_of(layer: Any) -> Any:
    """The variable that a layer multiplies its inputs by; None if it has none."""
    if isinstance(layer, keras.Model):
        return None
    cell = getattr(layer, "cell", layer)
    kernel = getattr(cell, "kernel", None)
    return kernel if kernel is not None and hasattr(kernel, "assign") and len(kernel.shape) >= 2 else None


def activation_name(layer: Any) -> str:
    """The activation of a layer with weights, by name."""
    function = getattr(layer, "activation", None)
    return activation_of(function).name if callable(function) else "linear"


def of_batch(program: Program, pair: Pair | None, seen: Look) -> list[Suspicion]:
    """What a batch shows: cut gradients, units that are copies, layers that never fire, a non-finite loss."""
    found = [*_cut(program, seen), *_copies(seen), *_zeros(seen), *_silent(seen, pair)]
    return found


def _cut(program: Program, seen: Look) -> Iterator[Suspicion]:
    """Variables that get no gradient, with the layer where it ends and the guard's finding on the line."""
    if not seen.missing:
        return
    layers = list(layers_of(program.model))
    cut = {layer.name for layer in layers if _own_paths(layer) & {_tail(path) for path in seen.missing}}
    last = max((i for i, layer in enumerate(layers) if layer.name in cut), default=-1)
    reached = {known.name for known in seen.weights if known.gradient is not None}
    between = []
    for layer in layers[last + 1 :]:
        if layer.name in reached:
            break
        if not layer.weights and type(layer).__name__ not in (*DROPOUTS, "InputLayer", "Flatten", "Reshape"):
            between.append(layer.name)
    report = _guard(program)
    first = report.findings[0] if report is not None and report.findings else None
    places = tuple(dict.fromkeys([*between[:1], *reversed([layer.name for layer in layers if layer.name in cut])]))
    yield Suspicion(
        Finding(
            "zero_gradient",
            places or "loss",
            f"No gradient of the loss arrives at {len(seen.missing)} trainable variables ({', '.join(seen.missing[:4])}"
            f"{', …' if len(seen.missing) > 4 else ''})"
            + (f": {first.op_type} on the way has none." if first is not None and first.op_type else "."),
            (
                first.advice
                if first is not None and first.advice
                else "Rounding, thresholds and argmax have no gradient: keep the values as they are up to the loss."
            ),
            depth="batch",
            file=first.file if first else None,
            line=first.line if first else None,
        ),
        certain=True,
    )


def still_zero(program: Program, seen: Look, later: Look) -> Iterator[Suspicion]:
    """Weights whose gradient is exactly zero before and after steps, with the op at which the guard sees it end."""
    start = {known.name for known in seen.weights if known.gradient is not None and not known.gradient.any()}
    names = tuple(
        known.name
        for known in later.weights
        if known.name in start and known.gradient is not None and not known.gradient.any()
    )
    if not names or len(names) == len(later.weights):
        return
    report = _guard(program)
    first = next((f for f in report.findings if f.op_type in _FLAT), None) if report is not None else None
    if first is None:
        return  # dead units and the like, which have causes of their own
    layers = [layer.name for layer in layers_of(program.model)]
    behind = layers[layers.index(names[-1]) + 1 :] if names[-1] in layers else []
    weighted = {known.name for known in seen.weights}
    between = [name for name in behind[: next((i for i, n in enumerate(behind) if n in weighted), 0)]]
    yield Suspicion(
        Finding(
            "zero_gradient",
            (*between[:1], *reversed(names)),
            f"The gradient of {', '.join(map(repr, names))} is exactly 0, at the start and after the training of a copy"
            f": it ends at {first.op_type}.",
            first.advice,
            depth="steps",
            file=first.file,
            line=first.line,
        ),
        certain=True,
    )


def _guard(program: Program):
    from .. import explain_model

    x, y = program.batch(16)
    try:
        return explain_model(program.model, program.loss, x, y)
    except Exception:  # the finding stands without the line
        return None


def _copies(seen: Look) -> Iterator[Suspicion]:
    """Units with equal weights and equal gradients: every step keeps them equal."""
    same = []
    for known in seen.weights:
        units = known.kernel.shape[-1] // _gates(known.layer)
        if units < 2 or known.gradient is None or not np.isfinite(known.gradient).all():
            continue
        kernel, gradient = (a.reshape(-1, _gates(known.layer), units) for a in (known.kernel, known.gradient))
        if np.ptp(kernel, axis=-1).max() > 0:
            continue
        largest = np.abs(gradient).max()
        if largest > 0 and np.ptp(gradient, axis=-1).max() <= 1e-4 * largest:
            same.append((known, units))
    if same:
        names = tuple(known.name for known, _ in same)
        known, units = same[0]
        yield Suspicion(
            Finding(
                "symmetric_units",
                names if len(names) > 1 else names[0],
                f"All {units} units of {known.name!r} start with the same weights ({known.kernel.flat[0]:.4g}) and get "
                "the same gradient, so that they stay equal after any number of steps: the layer is as good as one "
                "unit.",
                f"Start from random weights:\n\n    kernel_initializer='{_usual(known.layer)}'",
                depth="batch",
            ),
            Change(fresh=names),
            certain=True,
        )


def _zeros(seen: Look) -> Iterator[Suspicion]:
    """Consecutive layers whose weights are zero: nothing but the last bias gets a gradient."""
    zero = [known for known in seen.weights if not known.kernel.any()]
    still = [known for known in zero if known.gradient is not None and not known.gradient.any()]
    if seen.blank:
        yield fault(
            "weight_initialization",
            seen.blank if len(seen.blank) > 1 else seen.blank[0],
            f"The embeddings of {', '.join(map(repr, seen.blank))} are all zero, and so is their gradient: they "
            "are multiplied with each other, so that the gradient of each is 0 times the other.",
            "Start from random embeddings:\n\n    embeddings_initializer='uniform'",
            depth="batch",
        )
    if still and (len(zero) > 1 or len(seen.weights) > 1):
        names = tuple(known.name for known in zero)
        yield Suspicion(
            Finding(
                "weight_initialization",
                names if len(names) > 1 else names[0],
                f"The weights of {', '.join(map(repr, names))} are all zero, and so is the gradient of "
                f"{', '.join(repr(known.name) for known in still)}: only biases learn, and they know nothing of the "
                f"input.",
                f"Start from random weights:\n\n    kernel_initializer='{_usual(zero[0].layer)}'",
                depth="batch",
            ),
            Change(fresh=names),
            certain=True,
        )


def _silent(seen: Look, pair: Pair | None) -> Iterator[Suspicion]:
    """A layer with the same output for every row, so that nothing after it depends on the input."""
    predictions = [np.asarray(part) for part in keras.tree.flatten(seen.predictions)]
    if any(len(part) < 8 or not np.isfinite(part).all() for part in predictions):
        return
    if any(float(np.ptp(part, axis=0).max()) > 1e-7 * max(1.0, float(np.abs(part).max())) for part in predictions):
        return  # something gets through
    for name, answer in seen.answers.items():
        layer = next((known.layer for known in seen.weights if known.name == name), None)
        zero = answer.dtype.kind == "f" and not answer.any() and name not in seen.blank
        kernel = None if layer is None else kernel_of(layer)
        if zero and (kernel is None or np.asarray(kernel).any()):
            yield Suspicion(
                Finding(
                    "dead_units",
                    name,
                    f"{name!r} answers 0 for each of {len(answer)} rows with each of its {answer.shape[-1]} units, and "
                    "the model predicts the same for all of them: no gradient passes where a ReLU is at 0.",
                    "Start from Keras's own initial weights and a bias of zeros, scale the inputs, or take an "
                    "activation that never dies: leaky_relu, gelu.",
                    depth="batch",
                ),
                Change(fresh=tuple(known.name for known in seen.weights)),
                certain=True,
            )
            return


def saturating_chain(seen: Look) -> tuple[list[Weights], float] | None:
    """Hidden layers that saturate, and how much less gradient the first gets than the last layer."""
    hidden = [
        known
        for known in seen.weights[:-1]
        if activation_name(known.layer) in SATURATING and type(known.layer).__name__ not in RECURRENT
    ]
    if not hidden or seen.weights[-1].arriving == 0:
        return None
    return hidden, hidden[0].arriving / seen.weights[-1].arriving


def _usual(layer: Any) -> str:
    return "he_normal" if activation_name(layer) in ("relu", "leaky_relu", "elu") else "glorot_uniform"


def _gates(layer: Any) -> int:
    return {"LSTM": 4, "GRU": 3}.get(type(layer).__name__, 1)


def _answers(model: keras.Model, x: Any) -> dict[str, np.ndarray]:
    """The output of every layer of the outermost graph; empty where the model is not a graph."""
    try:
        layers = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
        outputs = {layer.name: layer.output for layer in layers if not isinstance(layer.output, (list, tuple, dict))}
        answers = keras.Model(model.inputs, outputs)(x, training=False)
        return {name: np.asarray(answer) for name, answer in answers.items()}
    except Exception:  # a subclassed model, or a layer that is called twice: its layers stay unseen
        return {}


def _array(tensor: Any) -> np.ndarray | None:
    return None if tensor is None else np.asarray(tf.convert_to_tensor(tensor))


def _own_paths(layer: Any) -> set[str]:
    if isinstance(layer, keras.Model):
        return set()
    return {_tail(variable.path) for variable in layer.trainable_variables}


def _tail(path: str) -> str:
    """`layer/kernel` of a variable's path: a copy of a model may have another name."""
    return "/".join(path.split("/")[-2:])
