"""The doctor as a Keras callback: what can be known before the first step of `fit`, reported there."""

from __future__ import annotations

from typing import Any

import keras

from .examination import diagnose
from .finding import Diagnosis, DoesNotLearnError


class Doctor(keras.callbacks.Callback):
    """Examines the model, the loss, the data and one batch when training begins, and reports what it finds.

        model.fit(images, masks, callbacks=[Doctor(images, masks)])

    Args:
      x, y: the training data as passed to `fit`, or a data set as x: Keras does not pass them to a callback.
      validation: (x, y) or a data set.
      stop: whether a finding ends training with `DoesNotLearnError` instead of being printed.
      depth: "static" or "batch"; "steps" trains copies first, which takes up to `seconds`.
      seconds: how long steps on copies may take.

    Attributes:
      diagnosis: what was found, once training has begun.
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        *,
        validation: Any = None,
        stop: bool = False,
        depth: str = "batch",
        seconds: float = 9.0,
    ):
        super().__init__()
        self._data, self._stop, self._depth, self._seconds = (x, y, validation), stop, depth, seconds
        self.diagnosis: Diagnosis | None = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Examines the program, and warns or ends training."""
        x, y, validation = self._data
        params = self.params or {}
        self.diagnosis = diagnose(
            self.model,
            None,
            None,
            x,
            y,
            epochs=params.get("epochs"),
            batch_size=_batch_size(x, params),
            validation=validation,
            depth=self._depth,
            seconds=self._seconds,
        )
        if self.diagnosis.ok:
            return
        if self._stop:
            raise DoesNotLearnError(self.diagnosis)
        self.diagnosis.print()


def _batch_size(x: Any, params: dict) -> int | None:
    """Rows a step, computed from Keras's number of steps; for a data set, its own batch size."""
    steps, arrays = params.get("steps"), [part for part in keras.tree.flatten(x) if hasattr(part, "shape")]
    return -(-len(arrays[0]) // steps) if steps and arrays else None
