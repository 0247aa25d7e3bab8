"""What a run reports between two lines of its log, summed up on the device and read by the host once."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from trainer.errors import UserError

# Numbers of a report: the loss, its terms, norms, and two for each ratio. More would still be one small message.
_ROOM = 128


class Totals:
    """Sums over the steps since the last `read`.

    A step's report is one float32 vector, one operation to reduce over replicas and one to add up. Which number is at
    which place is decided while tracing, when the names become known.
    """

    def __init__(self):
        # "mean/<name>", or "over/<name>" and "under/<name>" of a ratio -> its place; the first is the number of steps.
        self._places: dict[str, int] = {"steps": 0}
        self._sums = tf.Variable(
            tf.zeros(_ROOM, tf.float64),
            trainable=False,
            name="report",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def share(self, loss, terms: Mapping, ratios: Mapping) -> tf.Tensor:
        """The report of one share of the batch: float32 `[room]`; `terms` are named only where there are several."""
        values = {"mean/loss": loss}
        if len(terms) > 1:
            values |= {f"mean/loss/{name}": value for name, value in terms.items()}
        for name, (numerator, denominator) in ratios.items():
            values |= {f"over/{name}": numerator, f"under/{name}": denominator}
        return self.vector(values)

    def vector(self, values: Mapping) -> tf.Tensor:
        """Named numbers at their places, 0 elsewhere."""
        for name in values:
            if name not in self._places and len(self._places) == _ROOM:
                raise UserError(f"A step reports more than {_ROOM} numbers, {name!r} among them: leave some out.")
            self._places.setdefault(name, len(self._places))
        row = [0.0] * _ROOM
        for name, value in values.items():
            row[self._places[name]] = tf.stop_gradient(tf.cast(value, tf.float32))
        return tf.stack(row)

    def named(self, row) -> dict[str, tf.Tensor]:
        """The numbers of one step's vector by the names that they are reported under."""
        values = {name: row[place] for name, place in self._places.items()}
        found = {name.removeprefix("mean/"): v for name, v in values.items() if name.startswith("mean/")}
        for name, under in values.items():
            if name.startswith("under/"):
                ratio = name.removeprefix("under/")
                found[ratio] = tf.math.divide_no_nan(values[f"over/{ratio}"], under)
        return found

    def add(self, row, finite) -> None:
        """Adds what one update of a step gave; one that was left out counts for nothing."""
        row = tf.cast(row, tf.float64)
        self._sums.assign_add(tf.where(finite, row, tf.zeros_like(row)))

    def sums(self) -> dict[str, float]:
        """What has been added up since the last `read`, to be kept in a checkpoint."""
        values = self._sums.numpy()
        return {name: float(values[place]) for name, place in self._places.items()}

    def restore(self, sums: Mapping[str, float]) -> None:
        """Goes on with sums of an earlier session."""
        values = [0.0] * _ROOM
        for name, value in sums.items():
            values[self._places.setdefault(name, len(self._places))] = value
        self._sums.assign(values)

    def read(self) -> dict[str, float]:
        """Means since the last call: "loss", "loss/<term>", "gradient_norm" and the ratios; empty without a step."""
        sums = self.sums()
        self._sums.assign(tf.zeros_like(self._sums))
        return means(sums)


def means(sums: Mapping[str, float]) -> dict[str, float]:
    """Names as they are reported -> values, from named sums over steps."""
    steps = sums["steps"]
    if not steps:
        return {}
    report = {name.removeprefix("mean/"): v / steps for name, v in sums.items() if name.startswith("mean/")}
    # The mean over classes of a ratio's parts ("dice/nucleus") goes under the name before the slash.
    parts: dict[str, list[float]] = {}
    for name, under in sums.items():
        if name.startswith("under/") and under:
            ratio = name.removeprefix("under/")
            parts.setdefault(ratio.partition("/")[0], []).append(sums[f"over/{ratio}"] / under)
    return report | {name: sum(values) / len(values) for name, values in parts.items()}
