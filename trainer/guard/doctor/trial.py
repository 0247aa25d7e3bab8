"""Steps on a copy of a program, unchanged or with a change; the user's weights, optimizer and random state stay."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import time
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..capture import private
from .change import Change
from .in_place import altered, fresh_weights
from .output import layers_of
from .pair import Pair
from .program import Program, tensors
from .skill import skill

_CHUNK = 1024


@dataclasses.dataclass(frozen=True)
class Run:
    """The results of some steps.

    Attributes:
      losses: the loss of every step.
      finished: whether all requested steps were made.
      skill: what was learned, in inference mode; `skill.py` has the unit.
      skill_in_training: the same with the layers in training mode (batch statistics, dropout).
      predictions: for the program's rows, in inference mode.
      seconds: how long it took.
    """

    losses: np.ndarray
    finished: bool
    skill: float
    skill_in_training: float
    predictions: Any
    seconds: float

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.losses).all())


@contextlib.contextmanager
def untouched(model: keras.Model, optimizer: Any) -> Iterator[None]:
    """Puts weights, seeds, the optimizer's state and the process's generators of random numbers back."""
    kept = [(variable, _numbers(variable)) for variable in [*model.variables, *getattr(optimizer, "variables", [])]]
    flags = [(layer, layer.trainable) for layer in layers_of(model)]
    of_python, of_numpy = random.getstate(), np.random.get_state()
    generator = private.generator()
    of_tensorflow = generator.getstate() if generator else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for variable, value in kept:
            if not np.array_equal(_numbers(variable), value, equal_nan=value.dtype.kind == "f"):
                variable.assign(value)
        for layer, trainable in flags:
            if layer.trainable != trainable:
                layer.trainable = trainable
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        if of_tensorflow and private.generator().getstate() != of_tensorflow:
            private.generator().setstate(of_tensorflow)
            private.clear_kernel_cache()


def copied(model: keras.Model, change: Change | None = None) -> keras.Model:
    """A copy of a model, with a change; layers that change shape or are `fresh` start from new weights.

    Raises:
      Exception: the model cannot be rebuilt from its configuration.
    """
    change = change or Change()
    altered = set(change.layers) | set(change.fresh)

    def clone(layer):
        config = layer.get_config()
        config.update(_arguments(layer, config, change))
        return type(layer).from_config(config)

    nested = any(isinstance(layer, keras.Model) for layer in model.layers)
    if altered:
        copy = keras.models.clone_model(model, clone_function=clone, **({"recursive": True} if nested else {}))
    else:
        copy = keras.models.clone_model(model)
    for old, new in zip(layers_of(model), layers_of(copy), strict=True):
        wanted = change.layers.get(old.name, {}).get("trainable", old.trainable)
        if new.trainable != wanted:
            new.trainable = wanted
    for old, new in zip(layers_of(model), layers_of(copy), strict=True):
        if old.name in change.fresh or isinstance(old, keras.Model) or not old.weights:
            continue
        if [w.shape for w in old.weights] == [w.shape for w in new.weights]:
            new.set_weights(old.get_weights())
    return copy


def _arguments(layer, config: dict, change: Change) -> dict[str, Any]:
    """The changed entries of a layer's configuration; only those that the layer takes."""
    options = {name: value for name, value in change.layers.get(layer.name, {}).items() if name in config}
    if layer.name in change.fresh:
        for name in config:
            if name.endswith("kernel_initializer"):
                options.setdefault(name, "orthogonal" if name.startswith("recurrent") else "glorot_uniform")
            elif name == "bias_initializer":
                options.setdefault(name, "zeros")
    return options


class Trial:
    """A copy of a program that can be trained again and again from the same start.

    Keras traces its step once; rate, sizes and data may differ from run to run.
    """

    def __init__(self, program: Program, pair: Pair | None, change: Change | None = None):
        self.program, self.change = program, change or Change()
        self.pair = _with(pair, self.change)
        try:
            self.model = copied(program.model, self.change)
        except Exception:
            self.model = program.model  # a model that is not made of layers cannot be copied; `untouched` puts it back
        self.optimizer: keras.optimizers.Optimizer | None = None  # created when the first steps need it
        self.losses = keras.Model()
        if hasattr(self.model, "output_names"):
            self.losses.output_names = list(self.model.output_names)
        self.losses.compile(loss=self.change.loss or program.loss, jit_compile=False)
        self.x, self.y = tensors(program.x), tensors(program.y)
        self.weight = None if program.sample_weight is None else tensors(program.sample_weight)
        if not self.model.built:
            self.model(keras.tree.map_structure(lambda part: part[:1], self.x))
        self._all = list(self.model.variables)
        fresh = fresh_weights(self.model, self.change.fresh) if self.model is program.model else {}
        self._start = [fresh.get(id(variable), _numbers(variable)) for variable in self._all]
        self._step = tf.function(self._one_step, reduce_retracing=True, jit_compile=False)
        self._traced: dict[Any, Any] = {}

    def loss(self, x: Any, y: Any, weight: Any = None, training: bool = True) -> tuple[Any, Any]:
        """(the loss on the data, the sum of the layers' penalties)."""
        predictions = self.model(x, training=training)
        data = self.losses.compute_loss(x=x, y=y, y_pred=predictions, sample_weight=weight, training=training)
        extra = [tf.cast(tf.reduce_sum(part), tf.float32) for part in self.model.losses]
        return tf.cast(data, tf.float32), tf.add_n(extra) if extra else tf.constant(0.0)

    def run(
        self,
        *,
        until: float,
        batch_size: int | None = None,
        epochs: int | None = None,
        rate: float | None = None,
        x: Any = None,
        y: Any = None,
        weight: Any = None,
        most: int | None = None,
        draw: int = 0,
    ) -> Run:
        """Trains from the start, as `fit` would, up to a point in time (`time.monotonic()`) or a number of steps.

        `draw` seeds the order of the rows.
        """
        with altered(self.model, self.change) if self.model is self.program.model else contextlib.nullcontext():
            return self._run(until, batch_size, epochs, rate, x, y, weight, most, draw)

    def _run(self, until, batch_size, epochs, rate, x, y, weight, most, draw) -> Run:
        began = time.monotonic()
        if self.optimizer is None:
            self.optimizer = _optimizer(self.program.optimizer, self.change)
            self.optimizer.build(self.model.trainable_variables)
            self._all += self.optimizer.variables
            self._start += [_numbers(variable) for variable in self.optimizer.variables]
        self.reset()
        if rate is not None:
            self.optimizer.learning_rate = rate
        size = batch_size or self.change.batch_size or self.program.batch_size
        epochs = epochs or self.change.epochs or self.program.epochs or 1
        x, y = self.x if x is None else x, self.y if y is None else y
        weight = self.weight if weight is None else weight
        generator, count = np.random.default_rng(draw), self.program.held
        losses, finished = [], True
        for _ in range(epochs):
            shuffled = self.program.shuffled or self.change.shuffled
            order = generator.permutation(count) if shuffled else np.arange(count)
            for first in range(0, count, size):
                rows = tf.constant(order[first : first + size], tf.int32)
                losses.append(self._compiled("step", self._step, x, y, weight, rows))
                if most is not None and len(losses) >= most:
                    break
                if len(losses) % 8 == 0 and (time.monotonic() > until or not np.isfinite(float(losses[-1]))):
                    finished = not np.isfinite(float(losses[-1]))
                    break
            else:
                continue
            break
        values = np.array([float(loss) for loss in losses])
        plain, inside = self.predict(x), None
        if any("BatchNorm" in type(layer).__name__ for layer in layers_of(self.model)):
            inside = self.predict(x, training=True)
        here = self._skill(y, plain)
        return Run(
            values, finished, here, here if inside is None else self._skill(y, inside), plain, time.monotonic() - began
        )

    def reset(self) -> None:
        """Puts weights, statistics, seeds and the optimizer back to the start."""
        for variable, value in zip(self._all, self._start, strict=True):
            variable.assign(value)

    def predict(self, x: Any, training: bool = False) -> Any:
        """Arrays of predictions for all rows; optimizer and statistics stay unchanged."""
        kept = [_numbers(v) for v in self.model.non_trainable_variables] if training else ()
        count = len(keras.tree.flatten(x)[0])
        parts = []
        for first in range(0, count, _CHUNK):
            rows = keras.tree.map_structure(lambda part, at=first: part[at : at + _CHUNK], x)
            answer = self._compiled(training, tf.function(self._forward(training), jit_compile=False), rows)
            parts.append(keras.tree.map_structure(np.asarray, answer))
        for variable, value in zip(self.model.non_trainable_variables if training else (), kept, strict=True):
            variable.assign(value)
        return keras.tree.map_structure(lambda *pieces: np.concatenate(pieces), *parts)

    def _compiled(self, name: Any, function: Any, *arguments: Any) -> Any:
        """Calls a function traced once for any number of rows, or once a shape where the model fixes that number."""
        key = name, keras.tree.flatten(keras.tree.map_structure(lambda part: part is None, arguments)).count(True)
        if key not in self._traced:
            free = keras.tree.map_structure(_any_rows, arguments)
            try:
                self._traced[key] = function.get_concrete_function(*free)
            except (ValueError, TypeError, tf.errors.OpError):
                self._traced[key] = function
        return self._traced[key](*arguments)

    def _forward(self, training: bool):
        return lambda x: self.model(x, training=training)

    def _one_step(self, x, y, weight, rows):
        def gather(structure):
            return keras.tree.map_structure(lambda part: None if part is None else tf.gather(part, rows), structure)

        with tf.GradientTape() as tape:
            data, extra = self.loss(gather(x), gather(y), None if weight is None else gather(weight))
            total = data + extra
        variables = self.model.trainable_variables
        gradients = tape.gradient(total, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        self.optimizer.apply(gradients, variables)
        return total

    def _skill(self, y: Any, predictions: Any) -> float:
        if self.pair is None or keras.tree.is_nested(y) or keras.tree.is_nested(predictions):
            return float("nan")
        return skill(self.pair, np.asarray(y), np.asarray(predictions))


def _numbers(variable: Any) -> np.ndarray:
    return np.array(variable.numpy())


def _any_rows(part: Any) -> Any:
    return None if part is None else tf.TensorSpec((None, *part.shape[1:]), part.dtype)


def _with(pair: Pair | None, change: Change) -> Pair | None:
    """The pair after a change of loss or activation, so that its predictions are read correctly."""
    if pair is None:
        return None
    from .activation import activation_of
    from .objective import objective_of

    if change.loss is not None:
        pair = dataclasses.replace(pair, objective=objective_of(change.loss))
    name = change.layers.get(pair.output.layer or "", {}).get("activation")
    if name:
        activation = activation_of(keras.activations.get(name))
        pair = dataclasses.replace(pair, output=dataclasses.replace(pair.output, activation=activation))
    return pair


def _optimizer(optimizer: keras.optimizers.Optimizer, change: Change) -> keras.optimizers.Optimizer:
    config = optimizer.get_config()
    config.update({name: value for name, value in change.optimizer.items() if name in config})
    return type(optimizer).from_config(config)
