"""Is a score better, or was it chance? A paired bootstrap over images.

The images are resampled with replacement, the same ones for both runs, and the difference of the two scores is computed
each time (Efron and Tibshirani, 1993, "An Introduction to the Bootstrap", section 13.3: the percentile interval). This
shows whether the difference would also be found on other images of this kind. It does not show whether the same recipe
with another seed would have the same score: that needs several runs of each.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

RESAMPLES = 4000
LEVEL = 0.95
# With fewer images an interval is too narrow more often than it states.
FEW = 20


@dataclasses.dataclass(frozen=True)
class Difference:
    """Score of B minus score of A.

    Attributes:
      images: those that either run's score counts.
      a, b: the scores: means over the images that each counts.
      low, high: ends of the 95 % interval of the difference.
      better: share of the resamples in which B is better; ties count half.
    """

    images: int
    a: float
    b: float
    low: float
    high: float
    better: float

    @property
    def difference(self) -> float:
        return self.b - self.a

    @property
    def verdict(self) -> str:
        """The result in words, for scores of which higher is better."""
        if math.isnan(self.difference):
            return "not counted"
        if self.low > 0:
            return "B is better"
        if self.high < 0:
            return "A is better"
        if self.low == self.high == 0:
            return "equal"
        return "may be luck"


def paired_bootstrap(a, b, *, seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL) -> Difference:
    """The difference of two scores that are means over the same images, with its interval.

    Args:
      a, b: `[images]` or `[images, classes]`, each run's value for each image; NaN where the run's score does not
        count the image (a class that is in neither its label nor its prediction). For several classes the score is the
        mean of the classes' means, as in an evaluation.
      seed: that of the resampling; the same seed gives the same result.
      resamples: how often the images are drawn.
      level: that of the interval.

    Returns:
      NaN in all fields if one of the scores counts no image.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim not in (1, 2):
        raise ValueError(f"Two values for each image are needed. Received: shapes {a.shape} and {b.shape}")
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    either = ~(np.isnan(a) & np.isnan(b)).all(axis=1)
    a, b = a[either], b[either]
    images = len(a)
    if np.isnan(a).all() or np.isnan(b).all():
        return Difference(images, *[math.nan] * 5)
    random, found = np.random.default_rng(seed), []
    # A few at a time: thousands of resamples of thousands of images would be gigabytes.
    at_a_time = max(1, 2**22 // images)
    for start in range(0, resamples, at_a_time):
        count = min(at_a_time, resamples - start)
        # How often each image is drawn.
        drawn = random.multinomial(images, np.full(images, 1.0 / images), count).astype(np.float64)
        found.append(_score(b, drawn) - _score(a, drawn))
    differences = np.concatenate(found)
    # A resample without any counted image is ignored.
    differences = differences[~np.isnan(differences)]
    low, high = np.quantile(differences, [(1 - level) / 2, (1 + level) / 2])
    better = np.mean((differences > 0) + 0.5 * (differences == 0))
    once = np.ones((1, images))
    return Difference(images, _score(a, once).item(), _score(b, once).item(), float(low), float(high), float(better))


def _score(values, drawn):
    """The score of `[images, classes]` in each of `[resamples, images]`: the mean of the means by class."""
    counted = ~np.isnan(values)
    means = _ratio(drawn @ np.where(counted, values, 0.0), drawn @ counted)
    known = ~np.isnan(means)
    return _ratio(np.where(known, means, 0.0).sum(axis=1), known.sum(axis=1))


def _ratio(total, count):
    """NaN where the denominator is 0."""
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
