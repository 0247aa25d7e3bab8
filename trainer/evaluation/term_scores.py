"""Scores of a task other than segmentation: the means of its terms, and of the user's metrics."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from configs.reading.nearest import did_you_mean
from trainer.errors import UserError
from trainer.reporting.terminal import number


@dataclasses.dataclass(frozen=True, kw_only=True)
class TermScores:
    """Means over the validation examples.

    Attributes:
      images: their number.
      loss: mean of the sum of all terms.
      terms: means by name, as `Task.losses` returns them with training=False.
      metrics: the user's, by name.
      rows: the values of each image, by name.
    """

    images: int
    loss: float
    terms: Mapping[str, float]
    metrics: Mapping[str, float]
    rows: tuple[Mapping[str, float | str], ...] = ()

    def score(self, metric: str) -> float:
        """The value named by `config.evaluate.metric`: "loss", a term or a metric."""
        values = {"loss": self.loss, **self.terms, **{f"loss/{n}": v for n, v in self.terms.items()}, **self.metrics}
        if metric not in values:
            raise UserError(
                f"There is no score {metric!r}. There are {', '.join(values)}.{did_you_mean(metric, list(values))}"
            )
        return float(values[metric])

    def scalars(self, prefix: str = "eval/") -> dict[str, float]:
        """Tag -> value for TensorBoard and `metrics.jsonl`, without NaN."""
        values = {"loss": self.loss, **{f"loss/{name}": value for name, value in self.terms.items()}, **self.metrics}
        return {prefix + name: value for name, value in values.items() if not math.isnan(value)}

    def to_dict(self) -> dict:
        """The contents of `evaluation.json`."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "rows"}

    def table(self) -> str:
        """The values, one a line."""
        values = {"loss": self.loss, **self.terms, **self.metrics}
        width = max(len(name) for name in values)
        lines = [f"  {name:<{width}}  {number(value):>10}" for name, value in values.items()]
        return "\n".join([*lines, f"  means over {self.images} validation examples"])

    def in_line(self) -> dict[str, float]:
        """The values to show in one line."""
        return dict(self.metrics)
