"""A Keras callback that checks before the first batch of `fit` that every trainable variable gets a gradient."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from .capture.recorder import reads
from .causes.error import explain_exception
from .causes.removed_function import moved_names
from .explanation import enforce, wanted
from .keras_model import explain_model
from .optimizer_hook import checked_steps
from .traced_step import check_traced
from .words.finding import MissingGradientError, Report, path_of


class GradientGuard(keras.callbacks.Callback):
    """Checks before the first batch of `fit` that every trainable variable gets a gradient.

        model.fit(images, masks, callbacks=[GradientGuard()])

    A model with its own `train_step` is checked at each `optimizer.apply` of that step, with whatever tapes and
    optimizers it uses.

    Missing gradients and untracked variables are found while Keras traces its training step, before it runs. To find
    gradients that are zero or NaN, pass a batch (`GradientGuard(images, masks)`) or use `run_eagerly=True`.

    Args:
      x, y: a batch, as for `explain_model`; with it the check is made when training begins, numbers included.
      allow: regular expressions on the paths of variables that may stay without a gradient.
      missing: "error" raises `MissingGradientError`, "warn" prints the report, "off" does nothing.

    Attributes:
      report: the report, once the check has been made.
    """

    def __init__(self, x: Any = None, y: Any = None, *, allow: Sequence[str] = (), missing: str = "error"):
        super().__init__()
        wanted(missing)
        self._batch = None if x is None else (x, y)
        self._allow, self._missing = tuple(allow), missing
        self._step = None
        self.report: Report | None = None

    def set_model(self, model: keras.Model) -> None:
        """Stands between `fit` and the model's own `train_step` until that has run once."""
        super().set_model(model)
        if self._batch is not None or self._step is not None or not wanted(self._missing):
            return
        if model.distribute_strategy is not None and model.distribute_strategy.num_replicas_in_sync > 1:
            raise ValueError(
                "On several replicas GradientGuard needs a batch of its own: GradientGuard(images, masks). "
                f"Received: x=None and {model.distribute_strategy.num_replicas_in_sync} replicas"
            )
        self._step = model.train_step
        model.train_function = None  # Keras keeps the traced step of an earlier fit, which would not be checked again
        model.train_step = self._first_step

    def on_train_begin(self, logs: dict | None = None) -> None:
        """With a batch: the whole check, numbers included."""
        if self._batch is not None and self.report is None and wanted(self._missing):
            x, y = self._batch
            self._found(explain_model(self.model, None, x, y))

    def _first_step(self, data):
        own = type(self.model).train_step is not keras.Model.train_step
        if self.report is not None:
            return self._step(data)
        try:
            if own:
                with checked_steps(self._applied):
                    return self._step(data)
            self._found(self._report_of(data))
        finally:
            del self.model.train_step  # uncovers the method of the class
        return self._step(data)

    def _applied(self, report: Report) -> None:
        """Called before each optimizer of the user's own `train_step`."""
        before = self.report or Report()
        self._found(report)
        self.report = dataclasses.replace(
            self.report,
            findings=before.findings + self.report.findings,
            variables_total=before.variables_total + self.report.variables_total,
            allowed=before.allowed + self.report.allowed,
            listed=before.listed + self.report.listed,
        )

    def _report_of(self, data) -> Report:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if tf.executing_eagerly():
            return explain_model(self.model, None, x, y, sample_weight=sample_weight)
        return _explain_specs(self.model, x, y, sample_weight)

    def _found(self, report: Report) -> None:
        report = dataclasses.replace(report, allow_form="GradientGuard(…, allow=[{!r}])")
        self.report = report.allowing(self._allow)
        enforce(report, self._allow, self._missing)


def _explain_specs(model: keras.Model, x: Any, y: Any, sample_weight: Any) -> Report:
    """The check on a scratch graph beside the step that Keras is tracing, so that nothing is added to that one."""
    variables = model.trainable_variables
    reports = []

    def forward_loss(x, y, sample_weight):
        return model.compute_loss(x=x, y=y, y_pred=model(x, training=True), sample_weight=sample_weight, training=True)

    @tf.function(autograph=False)
    def scratch(*data):
        with reads() as seen, tf.GradientTape() as tape:
            loss = forward_loss(*data)
        try:
            gradients = tape.gradient(loss, variables)
        except Exception as error:
            report = explain_exception(error, lambda: forward_loss(*data), variables)
            if report is None:
                raise
            reports.append(report)
        else:
            reports.append(_traced_report(loss, variables, gradients, tape.watched_variables(), seen))
        return loss

    specs = tf.nest.map_structure(_spec, (x, y, sample_weight))
    try:
        scratch.get_concrete_function(*specs)
    except Exception as error:
        report = moved_names(error, [path_of(variable) for variable in variables])
        report = report or explain_exception(error, None, variables)
        if report is None:
            raise
        return report
    return reports[0]


def _traced_report(loss, variables, gradients, watched, seen) -> Report:
    """The findings of `check_traced`, as a report that is not raised."""
    try:
        return check_traced(loss, variables, gradients, watched=watched, reads=seen)
    except MissingGradientError as error:
        return error.report


def _spec(tensor: Any) -> Any:
    return tf.TensorSpec(tensor.shape, tensor.dtype) if tf.is_tensor(tensor) else tensor
