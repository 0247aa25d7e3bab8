"""The numbers of a training report, summed up on the device between two lines of the log and read once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from trainer.errors import UserError

# Numbers of a report: the loss, its terms, norms, and two for each ratio. More would still be one small message.
_ROOM = 128
LOSS = "loss"


class Totals:
    """Sums over the steps since the last `read`.

    A step's report is one float32 tensor, one operation to reduce over replicas and one to add up. Each number's place
    is decided while tracing, when the names become known. Beside each number stands how often it came, since a phase
    may take part only in every fifth step.
    """

    def __init__(self):
        # "mean/<name>", or "over/<name>" and "under/<name>" of a ratio -> its place; the first is the number of steps.
        self._places: dict[str, int] = {"steps": 0}
        self._sums = tf.Variable(
            tf.zeros((2, _ROOM), tf.float64),
            trainable=False,
            name="report",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def share(self, loss, terms: Mapping, ratios: Mapping, phase: str = "", penalties: Sequence = ()) -> tf.Tensor:
        """The report of one share of the batch: float32 `[2, room]`.

        Args:
          loss: what is minimised.
          terms: its parts, named only where there are several, or several phases.
          ratios: name -> (numerator, denominator).
          phase: name of its phase; then the loss is the sum of all phases' terms.
          penalties: losses added by the phase's layers.
        """
        values = {} if phase else {f"mean/{LOSS}": loss}
        if len(terms) > 1 or phase:
            values |= {f"mean/{LOSS}/{name}": value for name, value in terms.items()}
        if phase and penalties:
            values[f"mean/{LOSS}/penalties/{phase}"] = tf.add_n([tf.cast(p, tf.float32) for p in penalties])
        for name, (numerator, denominator) in ratios.items():
            values |= {f"over/{name}": numerator, f"under/{name}": denominator}
        return self.row(values)

    def row(self, values: Mapping) -> tf.Tensor:
        """Named numbers at their places, and 1 beside each; 0 elsewhere."""
        for name in values:
            if name not in self._places and len(self._places) == _ROOM:
                raise UserError(f"A step reports more than {_ROOM} numbers, {name!r} among them: leave some out.")
            self._places.setdefault(name, len(self._places))
        numbers, counts = [0.0] * _ROOM, [0.0] * _ROOM
        for name, value in values.items():
            place = self._places[name]
            numbers[place], counts[place] = tf.stop_gradient(tf.cast(value, tf.float32)), 1.0
        return tf.stack([tf.stack(numbers), tf.constant(counts)])

    def named(self, row) -> dict[str, tf.Tensor]:
        """The numbers of one step by their names in reports; 0 for a phase that took no part."""
        numbers = tf.math.divide_no_nan(row[0], row[1])
        values = {name: numbers[place] for name, place in self._places.items()}
        found = {name.removeprefix("mean/"): v for name, v in values.items() if name.startswith("mean/")}
        for name, under in values.items():
            if name.startswith("under/"):
                ratio = name.removeprefix("under/")
                found[ratio] = tf.math.divide_no_nan(values[f"over/{ratio}"], under)
        return _with_loss(found, tf.add_n)

    def add(self, row, finite) -> None:
        """Adds the report of one update; one that was left out does not count."""
        row = tf.cast(row, tf.float64)
        self._sums.assign_add(tf.where(finite, row, tf.zeros_like(row)))

    def sums(self) -> dict[str, float]:
        """The sums since the last `read`, for a checkpoint.

        How often a number came stands under "count/<name>" where it is not the number of steps.
        """
        values, counts = self._sums.numpy()
        found = {name: float(values[place]) for name, place in self._places.items()}
        rare = {name: float(counts[place]) for name, place in self._places.items() if counts[place] != found["steps"]}
        return found | {f"count/{name}": count for name, count in rare.items()}

    def restore(self, sums: Mapping[str, float]) -> None:
        """Continues the sums of an earlier session."""
        values = np.zeros((2, _ROOM))
        for name, value in sums.items():
            if not name.startswith("count/"):
                place = self._places.setdefault(name, len(self._places))
                values[:, place] = value, sums.get(f"count/{name}", sums["steps"])
        self._sums.assign(values)

    def read(self) -> dict[str, float]:
        """Means since the last call: "loss", "loss/<term>", "gradient_norm" and the ratios; empty without a step."""
        sums = self.sums()
        self._sums.assign(tf.zeros_like(self._sums))
        return means(sums)


def means(sums: Mapping[str, float]) -> dict[str, float]:
    """Named sums over steps -> the values reported, by name."""
    steps = sums["steps"]
    if not steps:
        return {}
    report = {}
    for name, value in sums.items():
        if name.startswith("mean/") and (count := sums.get(f"count/{name}", steps)):
            report[name.removeprefix("mean/")] = value / count
    # The mean over classes of a ratio's parts ("dice/nucleus") goes under the name before the slash.
    parts: dict[str, list[float]] = {}
    for name, under in sums.items():
        if name.startswith("under/") and under:
            ratio = name.removeprefix("under/")
            parts.setdefault(ratio.partition("/")[0], []).append(sums[f"over/{ratio}"] / under)
    return _with_loss(report | {name: sum(values) / len(values) for name, values in parts.items()}, sum)


def _with_loss(report: dict, add: Callable) -> dict:
    """Adds the loss of a task with phases: the sum of all terms, each counted once."""
    terms = [value for name, value in report.items() if name.startswith(f"{LOSS}/")]
    return {LOSS: add(terms)} | report if terms and LOSS not in report else report
