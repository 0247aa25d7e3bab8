"""The guard for a whole program: every `fit`, and every list of gradients that first reaches a Keras optimizer."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import warnings
import weakref
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from .capture.answer import Entry, entries_of
from .capture.escapes import replaced
from .capture.owners import handles_of
from .capture.recorder import Recording, is_recording, recorded_block
from .causes.untracked import untracked_findings
from .diagnosis import missing_findings
from .explanation import enforce, named, wanted
from .keras_callback import GradientGuard
from .search.lineage import Lineage
from .traced_step import check_traced
from .words.finding import Report

_KERAS_WARNING = "Gradients do not exist for variables"
_MOST_IDLE = 8  # tapes and calls of `gradient` in a row that led to no new optimizer
_MOST_ATTEMPTS = 3  # steps of an optimizer whose gradients did not come straight from a tape
_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_installed: contextlib.ExitStack | None = None


def install(*, allow: Sequence[str] = (), missing: str = "warn") -> None:
    """Switches the guard on for everything that this program trains from now on.

        import gradline_guard.everywhere     # the same, with missing="warn"

    Every `fit` gets a `GradientGuard`, unless it has one. In your own loops the first list of gradients that reaches
    each Keras optimizer's `apply` is checked, in a `tf.function` as well as eagerly; other gradients are not checked.
    The report replaces Keras's warning "Gradients do not exist for variables". After its first list an optimizer costs
    nothing more. Calling it again replaces the earlier settings.

    Args:
      allow: regular expressions; variables whose whole path one of them matches may have no gradient.
      missing: "warn" prints the report and goes on, "error" raises `MissingGradientError`.

    Raises:
      ValueError: `missing` is neither, or `allow` is not a list of regular expressions.
    """
    global _installed
    if not wanted(missing):
        raise ValueError("install(missing=…) is 'warn' or 'error'; uninstall() switches the guard off.")
    Report().allowing(allow)  # before anything is changed: a wrong pattern raises
    uninstall()
    stack = contextlib.ExitStack()
    watch = _Watch(tuple(allow), missing)
    stack.enter_context(warnings.catch_warnings())
    warnings.filterwarnings("ignore", message=_KERAS_WARNING)
    for owner, name, wrapper in (
        (keras.Model, "fit", watch.fit),
        (tf.GradientTape, "__enter__", watch.enter),
        (tf.GradientTape, "__exit__", watch.leave),
        (tf.GradientTape, "gradient", watch.gradient),
        (keras.optimizers.Optimizer, "apply", watch.apply),
    ):
        original = getattr(owner, name)
        stack.enter_context(replaced(owner, name, _wrapped(original, wrapper)))
    _installed = stack


def uninstall() -> None:
    """Switches off what `install` has switched on, if anything, and puts everything back."""
    global _installed
    stack, _installed = _installed, None
    if stack is not None:
        stack.close()


def _wrapped(original, wrapper):
    @functools.wraps(original)
    def call(self, *args, **kwargs):
        return wrapper(functools.partial(original, self), self, *args, **kwargs)

    return call


def _called_by_the_guard() -> bool:
    """Whether a tape is one of the guard's own."""
    frame = sys._getframe(3)  # past `enter` and the wrapper
    return frame is not None and frame.f_code.co_filename.startswith(_HERE)


class _Watch:
    """What is kept from a tape's opening to the optimizer's `apply`: the newest calls, and which optimizers were
    checked."""

    def __init__(self, allow: tuple[str, ...], missing: str):
        self._allow, self._missing = allow, missing
        self._checked: weakref.WeakSet = weakref.WeakSet()
        self._calls: list[tuple] = []
        self._attempts: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
        self._idle = 0  # tapes since the last optimizer that had not been checked
        self._recording: Recording | None = None
        self._recordings: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
        self._blocks: dict[int, contextlib.ExitStack] = {}
        self._fitting = threading.local()

    def fit(self, original, model, *args, **kwargs):
        callbacks = kwargs.get("callbacks")
        listed = list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks else []
        several = model.distribute_strategy is not None and model.distribute_strategy.num_replicas_in_sync > 1
        if not several and len(args) < 6 and not any(isinstance(part, GradientGuard) for part in listed):
            kwargs["callbacks"] = [*listed, GradientGuard(allow=self._allow, missing=self._missing)]
        self._fitting.on = True
        try:
            return original(*args, **kwargs)
        finally:
            self._fitting.on = False

    def enter(self, original, tape):
        result = original()
        if not tf.executing_eagerly() or is_recording() or _called_by_the_guard() or not self._is_looking():
            return result
        if not self._blocks:  # the outermost tape's block; tapes opened inside it are part of the same record
            block = contextlib.ExitStack()
            self._recording = block.enter_context(recorded_block())
            self._recording.tape = tape
            self._blocks[id(tape)] = block
        self._recordings[tape] = self._recording
        return result

    def leave(self, original, tape, *error):
        block = self._blocks.pop(id(tape), None)
        if block is not None:
            block.close()
        return original(*error)

    def gradient(self, original, tape, target, sources, *args, **kwargs):
        answers = original(target, sources, *args, **kwargs)
        if self._is_looking():
            pairs = tf.nest.flatten(sources), tf.nest.flatten(answers)
            if len(pairs[0]) == len(pairs[1]):
                watched = tape.watched_variables()
                self._calls = [*self._calls[-7:], (target, *pairs, watched, self._recordings.get(tape))]
        return answers

    def apply(self, original, optimizer, grads, trainable_variables=None):
        grads = list(grads)
        if not getattr(self._fitting, "on", False) and optimizer not in self._checked:
            variables = trainable_variables if trainable_variables is not None else optimizer._trainable_variables
            variables = list(variables)
            call, self._idle = self._behind(grads, variables), 0
            self._attempts[optimizer] = self._attempts.get(optimizer, 0) + 1
            if call is not None or self._attempts[optimizer] >= _MOST_ATTEMPTS:
                self._checked.add(optimizer)
            if call is not None:
                self._calls = []
                self._found(call)
        return original(grads, trainable_variables)

    def _is_looking(self) -> bool:
        """Whether an unchecked optimizer may still come; where none has for a while, recording stops."""
        if getattr(self._fitting, "on", False):
            return False
        self._idle += bool(self._checked)
        return self._idle <= _MOST_IDLE

    def _behind(self, grads: Sequence, variables: Sequence) -> tuple | None:
        wanted_keys = [handles_of(variable) for variable in variables]
        lacking = any(gradient is None for gradient in grads)
        for call in reversed(self._calls):
            same = [handles_of(source) for source in call[1] if hasattr(source, "assign")] == wanted_keys
            if same and lacking == any(answer is None for answer in call[2]):
                return call
        return None

    def _found(self, call: tuple) -> None:
        target, sources, answers, watched, recording = call
        if recording is None:
            report = check_traced(
                target, sources, answers, watched=watched, allow=self._allow, missing="warn", warn=lambda report: None
            )
        else:
            report = _of_eager(recording, target, sources, answers)
        report = named(report, entries_of(sources), "install(allow=[{!r}])").allowing(self._allow)
        enforce(report, self._allow, self._missing)


def _of_eager(recording: Recording, target: Any, sources: Sequence, answers: Sequence) -> Report:
    """The report on a tape's block that was recorded while it ran."""
    entries = entries_of(sources)
    recording.loss = recording.trace.loss = target
    lineage = Lineage(recording.trace)
    missing: list[Entry] = [entry for entry, answer in zip(entries, answers, strict=True) if answer is None]
    findings = missing_findings(recording, lineage, missing, entries, lambda: target) if missing else []
    return Report(tuple([*findings, *untracked_findings(recording, lineage, entries)]), len(entries))
