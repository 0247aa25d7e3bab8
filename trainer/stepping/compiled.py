"""What the step was compiled with: a change from outside that it does not see is no silent one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trainer.errors import EXIT_FAILED, UserError, numbered
from trainer.stepping.state import TrainState

_NUMBERS = (bool, int, float, str)


class CompiledWith:
    """Compares a run's parts with what they were when its step was compiled.

    Args:
      state: of the run.
      warn: called with what an action or a loop changed without effect, each attribute once.
    """

    def __init__(self, state: TrainState, warn: Callable[[str], None]):
        self._state, self._warn = state, warn
        self._models = state.models
        self._variables = [variable for model in self._models.values() for variable in model.variables]
        self._trainable = [variable.trainable for variable in self._variables]
        self._numbers: dict[tuple[str, str], Any] | None = None
        self._warned: set[tuple[str, str]] = set()

    def before_call(self) -> None:
        """Call it before each call on the device.

        Raises:
          UserError: another model stands in the task, or other variables are trainable.
        """
        problems = [
            f"run.task.{name} is another model than the one that is trained. To go on with its weights: "
            f"run.task.{name}.set_weights(other.get_weights())"
            for name, model in self._models.items()
            if self._state.models.get(name) is not model
        ]
        now = [variable.trainable for variable in self._variables]
        if now != self._trainable:
            pairs = zip(self._variables, now, self._trainable, strict=True)
            changed = [f"{v.path} is {a}, and was {b}" for v, a, b in pairs if a != b]
            problems.append(
                f"`trainable` was changed while training ({changed[0]}"
                + (f", and {len(changed) - 1} more" if changed[1:] else "")
                + "), which the compiled step does not see. To train other layers from here on, make a second run "
                "whose model has them so, in a workdir of its own, with --config.checkpoint.warm_start=…"
            )
        if problems:
            raise UserError(numbered(problems), exit_code=EXIT_FAILED)
        for (where, name), value in self._read().items() if self._numbers is not None else ():
            before = self._numbers.get((where, name), value)
            if before != value and (where, name) not in self._warned:
                self._warned.add((where, name))
                self._warn(
                    f"{where}.{name} was {before!r} when the step was compiled and is {value!r} now, which the step "
                    f"does not see. What changes while training is a keras.Variable: {name} = "
                    f"keras.Variable({before!r}, trainable=False), and {name}.assign({value!r})."
                )

    def after_call(self) -> None:
        """Call it after each: what tracing itself set is no change."""
        self._numbers = self._read()

    def _read(self) -> dict[tuple[str, str], Any]:
        """Plain numbers and texts among the attributes of the task and of a loss of the user's."""
        task = self._state.task
        loss = getattr(getattr(task, "objective", None), "own", None)
        holders = {"run.task": task, "the loss": loss}
        return {
            (where, name): value
            for where, holder in holders.items()
            for name, value in getattr(holder, "__dict__", {}).items()
            if isinstance(value, _NUMBERS)
        }
