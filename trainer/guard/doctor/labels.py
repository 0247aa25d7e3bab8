"""Statistics of labels: range, class numbers, one-hot, constant."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

_MOST = 400_000  # values examined; more add nothing
_FEW = 64  # up to this many different whole numbers are class numbers, more are measurements


@dataclasses.dataclass(frozen=True)
class Labels:
    """What an array of labels holds.

    Attributes:
      values: the array.
      low, high: smallest and largest finite value.
      finite: the share of values that are finite.
      distinct: the different values, sorted; None if there are more than 64.
      whole: whether all are whole numbers.
    """

    values: np.ndarray
    low: float
    high: float
    finite: float
    distinct: tuple[float, ...] | None
    whole: bool

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def classes(self) -> bool:
        """Whether these are class numbers or memberships rather than measurements."""
        return self.whole and self.distinct is not None and len(self.values) > len(self.distinct)

    @property
    def zero_one(self) -> bool:
        """Whether all are 0 or 1."""
        return self.distinct is not None and set(self.distinct) <= {0.0, 1.0}

    @property
    def constant(self) -> bool:
        """Whether all rows are the same."""
        first = self.values[:1]
        return len(self.values) > 1 and bool((self.values == first).all())

    @functools.cached_property
    def one_hot_axis(self) -> int | None:
        """The axis (negative, never the batch's) along which each row has a single 1 and zeros, or None."""
        if not self.zero_one or self.values.ndim < 2:
            return None
        for axis in [-1, *range(1 - self.values.ndim, -1)]:
            if self.values.shape[axis] > 1 and (self.values.sum(axis) == 1).all():
                return axis
        return None

    def span(self) -> str:
        """The values in words: `0, 1, 2` or `-3.2 to 8.1`."""
        if self.distinct is not None and len(self.distinct) <= 6:
            return ", ".join(f"{value:g}" for value in self.distinct)
        return f"{self.low:.4g} to {self.high:.4g}"

    def outside(self, low: float, high: float) -> float:
        """The share of the values beyond a range, by more than a hundredth of its width (or of 1)."""
        slack = 0.01 * (high - low if np.isfinite(high - low) else 1.0)
        with np.errstate(invalid="ignore"):
            return float(np.mean((self.values < low - slack) | (self.values > high + slack)))


def labels_of(array: np.ndarray) -> Labels | None:
    """The labels of an array; None for text, objects and empty ones."""
    values = np.asarray(array)
    if values.dtype.kind not in "fiub" or not values.size:
        return None
    values = values.astype("float64") if values.dtype.kind == "b" else values
    rows = max(2, int(_MOST / max(1, values[:1].size)))
    if len(values) > rows:
        values = values[np.linspace(0, len(values) - 1, rows).astype(int)]
    good = np.isfinite(values)
    finite = values[good]
    if not finite.size:
        return Labels(values, np.nan, np.nan, 0.0, None, False)
    found = np.unique(finite)
    whole = bool((found == np.round(found)).all())
    distinct = tuple(float(value) for value in found) if len(found) <= _FEW else None
    return Labels(values, float(found[0]), float(found[-1]), float(good.mean()), distinct, whole)
