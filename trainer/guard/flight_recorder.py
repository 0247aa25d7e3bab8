"""A flight recorder for `fit` and loops of one's own: the first step whose gradient is zero, NaN or explodes, kept.

At that step it writes a folder with the batch, the weights and the optimizer's state from before the step, what was
found, and the command that runs the step again (`flight.py`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .capture.escapes import replaced
from .words.finding import path_of

RECORD = "flight.json"


ARRAYS = "flight.npz"


MODEL = "model.keras"


_REPORTED = "gradient_norm"  # the key under which a step may report its gradient's norm


_SETTLED = 10  # steps before a norm can be called unusual


@dataclasses.dataclass(frozen=True)
class Event:
    """The step that a flight recorder has kept.

    Attributes:
      step: the first such step, from 1.
      what: "nonfinite", "explosion" or "zero".
      words: a sentence with the numbers.
      norm: the gradient's norm over all variables at that step.
      folder: the folder that holds it.
      command: the command that runs it again.
    """

    step: int
    what: str
    words: str
    norm: float
    folder: str
    command: str


class FlightRecorder(keras.callbacks.Callback):
    """Keeps the first step of `fit` whose gradient is NaN or infinite, explodes, or is zero for a variable.

        model.fit(images, masks, callbacks=[FlightRecorder("flight")])

    Costs a copy of the batch and of the weights a step, and one read of a few numbers. A model's own `train_step` is
    watched as well, at each `optimizer.apply` that it calls. In a loop of your own it takes the steps:

        for batch in batches:
            recorder.step(train_step, batch, model, optimizer)
            if recorder.event:
                break

    Args:
      folder: where the step is written; made when there is something to write.
      explosion: a gradient norm this many times the median of the last 100 steps counts as an explosion.
      zero_steps: a variable whose gradient is exactly zero for this many steps in a row counts as dead; 0 never.
      stop: whether training stops there.
      model: where the command gets the model if `model.keras` cannot be loaded alone: `"module:function"`, a function
        that returns it compiled.

    Attributes:
      event: the `Event`, once there was one.
    """

    def __init__(
        self,
        folder: str,
        *,
        explosion: float = 100.0,
        zero_steps: int = 10,
        stop: bool = True,
        model: str | None = None,
    ):
        super().__init__()
        self._folder, self._explosion, self._zero_steps, self._stop = folder, explosion, zero_steps, stop
        self._builder = model
        self.event: Event | None = None
        self._box: Box | None = None
        self._begin()

    def set_model(self, model: keras.Model) -> None:
        """Stands between `fit` and the model's `train_step`, to see batches and gradients."""
        super().set_model(model)
        if self._box is not None or self.event is not None:
            return
        if model.distribute_strategy is not None and model.distribute_strategy.num_replicas_in_sync > 1:
            raise ValueError(
                "A FlightRecorder looks at one replica, and there are "
                f"{model.distribute_strategy.num_replicas_in_sync}: record a run on one device."
            )
        if getattr(model, "steps_per_execution", 1) != 1:
            raise ValueError(
                "A FlightRecorder looks at every step: compile(steps_per_execution=1). Received: "
                f"steps_per_execution={model.steps_per_execution}"
            )
        self._box, step = Box(), model.train_step
        self._jit, model.jit_compile = model.jit_compile, False  # XLA has no place for a batch of any shape
        model.train_function = None

        def watched_step(data):
            self._box.keep(data)
            with self._box.at_apply():
                return step(data)

        model.train_step = watched_step

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Starts counting."""
        self._begin()

    def _begin(self) -> None:
        self._norms: list[float] = []
        self._streaks: dict[str, int] = {}
        self._step = 0

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Keeps the weights from before the step."""
        if self.event is None:
            self._before = _state(variables_of(self.model))

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Checks the step's gradients, and writes the step where something is wrong with them."""
        if self.event is not None:
            return
        found = self._looked(self._box.norms())
        if found is not None:
            self._write(self.model, *found)
            if self._stop:
                self.model.stop_training = True

    def step(self, function: Callable[[Any], Any], batch: Any, model: keras.Model, optimizer: Any = None) -> Any:
        """Takes a step of a loop of your own, and keeps it where something is wrong with its gradient.

            for batch in batches:
                losses = recorder.step(train_step, batch, model, optimizer)

            for batch in batches:                           # and with Run
                report = recorder.step(run.step, batch, run.task.model, run.state.optimizer)

        The gradients are those that reach a Keras `optimizer.apply`; where the step returns a mapping with
        "gradient_norm", as `Run.step` does, that number counts as well. `recorder.event` is set when there was one;
        whether the loop goes on is up to you. `replay(folder, model, optimizer, step=function)` takes the step again.

        Args:
          function: takes one step: `function(batch)`; may be a `tf.function`, first called here.
          batch: arrays or tensors, or a tuple, list or dict of them.
          model: whose weights from before the step are kept.
          optimizer: whose state is kept with them; None takes the model's own.

        Returns:
          What the function returns.
        """
        if self.event is not None:
            return function(batch)
        self._box = self._box or Box()
        if optimizer is not None and model.built and not optimizer.built:
            optimizer.build(model.trainable_variables)
        self._before = _state(variables_of(model, optimizer))
        with self._box.at_apply():
            answer = function(batch)
        found = self._looked({**self._box.norms(), **reported(answer)})
        if found is not None:
            self._box.hold(batch)
            self._write(model, *found, own=True)
        return answer

    def _looked(self, norms: dict[str, Any]) -> tuple[str, str, float] | None:
        self._step += 1
        return self._judged({path: float(norm) for path, norm in norms.items()}) if norms else None

    def on_train_end(self, logs: dict | None = None) -> None:
        """Gives the model its own `train_step` back."""
        with contextlib.suppress(AttributeError):
            del self.model.train_step
        self.model.jit_compile = self._jit
        self.model.train_function, self._box = None, None

    def _judged(self, norms: dict[str, float]) -> tuple[str, str, float] | None:
        """What is wrong with a step, as a keyword and as a sentence, and its norm; None for a good one."""
        whole = norm_over_all(norms)
        broken = [path for path, norm in norms.items() if not np.isfinite(norm)]
        if broken == [_REPORTED]:
            return "nonfinite", "the gradient's norm that the step reports is NaN or infinite", whole
        if broken:
            return "nonfinite", f"{_listed(broken)} of {len(norms)} variables: the gradient is NaN or infinite", whole
        usual = float(np.median(self._norms[-100:])) if len(self._norms) >= _SETTLED else 0.0
        if usual and whole > self._explosion * usual:
            return (
                "explosion",
                f"the gradient's norm is {whole:.4g}, {whole / usual:.0f} times the usual {usual:.4g}",
                whole,
            )
        self._norms.append(whole)
        for path, norm in norms.items():
            self._streaks[path] = self._streaks.get(path, 0) + 1 if norm == 0 else 0
        dead = [path for path, streak in self._streaks.items() if streak >= self._zero_steps > 0]
        if dead:
            return "zero", f"{_listed(dead)}: the gradient was exactly zero for {self._zero_steps} steps", whole
        return None

    def _write(self, model: keras.Model, what: str, words: str, norm: float, own: bool = False) -> None:
        os.makedirs(self._folder, exist_ok=True)
        arrays = {f"state/{name}": value.numpy() for name, value in self._before.items()}
        structure, parts = self._box.batch()
        arrays |= {f"batch/{index}": part for index, part in enumerate(parts)}
        np.savez_compressed(os.path.join(self._folder, ARRAYS), **arrays)
        if own:
            builder, command = None, f"{__package__}.replay({self._folder!r}, model, optimizer, step=train_step)"
        else:
            alone = _saved_alone(model, os.path.join(self._folder, MODEL))
            builder = self._builder or (None if alone else "your_module:build_model")
            command = f"{os.path.basename(sys.executable)} -m {__package__}.flight {self._folder}"
            command += f" --model={builder}" if builder else ""
        content = {"step": self._step, "what": what, "words": words, "norm": norm, "command": command}
        with open(os.path.join(self._folder, RECORD), "w", encoding="utf-8") as file:
            json.dump({**content, "structure": structure, "model": builder}, file, indent=2)
        self.event = Event(**{**content, "folder": self._folder})
        print(
            f"\nStep {self._step}: {words}.\n  Kept in {self._folder}. To run it again:\n    {command}", file=sys.stderr
        )


class Box:
    """The last batch and the norms of the last gradients, in variables that a compiled step writes."""

    def __init__(self):
        self._structure: Any = None
        self._parts: list[tf.Variable] = []
        self._norms: dict[str, tf.Variable] = {}

    def keep(self, data) -> None:
        """Writes the batch."""
        flat = [part for part in tf.nest.flatten(data) if tf.is_tensor(part)]
        if not self._parts:
            with tf.init_scope():
                self._parts = [
                    tf.Variable(tf.zeros([0] * t.shape.rank, t.dtype), shape=[None] * t.shape.rank, trainable=False)
                    for t in flat
                ]
            self._structure = _structure_of(data)
        for variable, part in zip(self._parts, flat, strict=True):
            variable.assign(part)

    def hold(self, data) -> None:
        """Keeps a batch of arrays or tensors."""
        flat = [np.asarray(part) for part in tf.nest.flatten(data)]
        self._parts = [tf.Variable(part, trainable=False) for part in flat]
        self._structure = _structure_of(tf.nest.map_structure(tf.convert_to_tensor, data))

    @contextlib.contextmanager
    def at_apply(self) -> Iterator[None]:
        """While a step runs or is traced, stores the norm of each gradient that reaches an optimizer."""
        apply = keras.optimizers.Optimizer.apply

        def applying(optimizer, grads, trainable_variables=None):
            grads = list(grads)
            known = trainable_variables if trainable_variables is not None else optimizer._trainable_variables
            for gradient, variable in zip(grads, list(known), strict=True):
                if gradient is not None:
                    self._norm_of(path_of(variable)).assign(_norm(gradient))
            return apply(optimizer, grads, trainable_variables)

        with replaced(keras.optimizers.Optimizer, "apply", applying):
            yield

    def _norm_of(self, path: str) -> tf.Variable:
        if path not in self._norms:
            with tf.init_scope():
                self._norms[path] = tf.Variable(0.0, trainable=False)
        return self._norms[path]

    def norms(self) -> dict[str, np.ndarray]:
        return {path: variable.numpy() for path, variable in self._norms.items()}

    def batch(self) -> tuple[Any, list[np.ndarray]]:
        return self._structure, [variable.numpy() for variable in self._parts]


def _norm(gradient) -> tf.Tensor:
    values = gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
    return tf.norm(tf.cast(values, tf.float32))


def norm_over_all(norms: dict[str, float]) -> float:
    """The norm over all variables; or the one that the step itself reports, where no gradient was seen."""
    seen = [norm for path, norm in norms.items() if path != _REPORTED]
    return float(np.sqrt(sum(norm**2 for norm in seen))) if seen else float(norms.get(_REPORTED, 0.0))


def reported(answer: Any) -> dict[str, Any]:
    """The gradient norm that a step reports itself, which is there even if a non-finite gradient was not applied."""
    return {_REPORTED: answer[_REPORTED]} if isinstance(answer, Mapping) and answer.get(_REPORTED) is not None else {}


def _state(variables: list) -> dict[str, tf.Tensor]:
    """Copies of variables, numbered in order, so that equal paths do not collide."""
    return {f"{index}:{path_of(variable)}": tf.identity(variable) for index, variable in enumerate(variables)}


def variables_of(model: keras.Model, optimizer: Any = None) -> list:
    optimizer = optimizer if optimizer is not None else getattr(model, "optimizer", None)
    return [*model.variables, *(optimizer.variables if optimizer is not None else ())]


def _saved_alone(model: keras.Model, path: str) -> bool:
    """Writes the compiled model, and returns whether it can be loaded again without the user's code."""
    try:
        model.save(path)
        keras.saving.load_model(path)
    except Exception:  # custom objects, a subclass without get_config: the user's own function has to build it
        return False
    return True


def _structure_of(data) -> Any:
    """The batch with numbers in place of its tensors, as JSON has it: tuples and lists alike become lists."""
    if isinstance(data, dict):
        return {"dict": {key: _structure_of(part) for key, part in data.items()}}
    if isinstance(data, (list, tuple)):
        return {type(data).__name__ if type(data) in (list, tuple) else "tuple": [_structure_of(part) for part in data]}
    return "tensor" if tf.is_tensor(data) else None


def _listed(paths: list[str]) -> str:
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
