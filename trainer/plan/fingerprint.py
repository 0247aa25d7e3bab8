"""What a plan is drawn from: figures of the training images and labels, of every example or of a stated sample."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.ndimage

from trainer.data.audit import alike, perceptual_hash
from trainer.data.errors import DataError
from trainer.data.example import Example

# Examples beyond this many are represented by this many, spread evenly over the list; the plan says so.
_MOST = 400
_THREADS = 4
# Cells along each axis of the grid in which the places of the foreground are kept.
GRID = 32
# Pixels of an image from which its intensities are taken.
_PIXELS = 20_000
_PERCENTILES = (0.5, 5, 50, 95, 99.5)


@dataclasses.dataclass(frozen=True)
class Case:
    """What is kept of an example.

    size: pixels along each spatial axis.
    counts: int64 `[classes + 1]`: pixels of each class, void last.
    levels: float `[channels, 5]`: percentiles 0.5, 5, 50, 95, 99.5 of the values, by channel.
    inside, outside: float `[channels]`: median of the values over foreground and background; NaN where there is none.
    parts: class id -> sizes in pixels of its connected parts.
    places: bool `[GRID, …]`: where foreground lies, on a grid laid over the example.
    trend: along the first spatial axis, last third minus first third: of brightness as a share of the example's own
      spread, then of each class's share; NaN where an axis is too short.
    hash: as `perceptual_hash`; None of volumes.
    """

    name: str
    size: tuple[int, ...]
    counts: np.ndarray
    levels: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    parts: dict[int, np.ndarray]
    places: np.ndarray
    trend: np.ndarray
    hash: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """Figures of a training split.

    examples: in the split; `cases` are those looked at, `unread` the reasons of those that could not be.
    background: whether class 0 is the ground on which the others lie, by name or by its share.
    """

    examples: int
    validation: int
    classes: tuple[str, ...]
    channels: int
    cases: tuple[Case, ...]
    unread: tuple[str, ...]

    @property
    def rank(self) -> int:
        return len(self.cases[0].size)

    @property
    def sizes(self) -> np.ndarray:
        """int `[cases, rank]`."""
        return np.array([case.size for case in self.cases])

    @property
    def median_size(self) -> tuple[int, ...]:
        return tuple(int(side) for side in np.median(self.sizes, axis=0))

    @property
    def shares(self) -> np.ndarray:
        """float `[classes + 1]`: share of each class in all pixels, void last."""
        counts = np.sum([case.counts for case in self.cases], axis=0)
        return counts / max(counts.sum(), 1)

    @property
    def present(self) -> np.ndarray:
        """int `[classes]`: examples that hold the class."""
        return np.sum([case.counts[:-1] > 0 for case in self.cases], axis=0)

    @property
    def foreground(self) -> tuple[int, ...]:
        """Ids of the classes that are objects: all but the first of two, all but a background of more."""
        first = self.classes[0].lower() if self.classes else ""
        ground = len(self.classes) == 2 or first in ("background", "bg", "void", "none", "unlabeled", "unlabelled")
        return tuple(range(1 if ground else 0, len(self.classes)))

    @property
    def foreground_share(self) -> float:
        return float(self.shares[list(self.foreground)].sum())

    def diameters(self, class_id: int) -> np.ndarray:
        """Equivalent diameters of the class's parts, in pixels: of the circle or ball of the same size."""
        sizes = np.concatenate([case.parts.get(class_id, np.empty(0)) for case in self.cases])
        return 2 * np.sqrt(sizes / np.pi) if self.rank == 2 else 2 * np.cbrt(3 * sizes / (4 * np.pi))

    def empty_crops(self, crop: Sequence[int]) -> float:
        """Share of the random crops of this size that hold no foreground, from the grid of each case."""
        empty = []
        for case in self.cases:
            window = [
                min(GRID, max(1, round(GRID * side / length))) for side, length in zip(crop, case.size, strict=True)
            ]
            held = scipy.ndimage.maximum_filter(case.places, window, mode="constant", cval=0)
            # Windows that lie within: their centres are half a window away from the border.
            inner = tuple(slice(w // 2, max(w // 2 + 1, GRID - (w - 1) // 2)) for w in window)
            empty.append(1.0 - float(held[inner].mean()))
        return float(np.mean(empty))

    def trend(self) -> np.ndarray:
        """For brightness and each class: mean over the cases of `Case.trend`, in standard errors of that mean."""
        values = np.array([case.trend for case in self.cases])
        count = np.isfinite(values).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.nanmean(values, axis=0) if len(values) else np.zeros(0)
            error = np.nanstd(values, axis=0, ddof=1) / np.sqrt(count)
            scores = np.where(count >= 8, mean / np.maximum(error, 1e-12), 0.0)
        return np.nan_to_num(scores)

    def alike(self) -> list[str]:
        """Pairs of training examples that look nearly the same, such as slices of one volume."""
        hashes = [case.hash for case in self.cases]
        return [] if any(h is None for h in hashes) else alike([case.name for case in self.cases], np.stack(hashes))

    def unusual(self, count: int = 6) -> list[tuple[str, str]]:
        """(name, why) of the examples farthest from the others in brightness, contrast, size or foreground."""
        figures = {
            "brightness": np.array([case.levels[:, 2].mean() for case in self.cases]),
            "contrast": np.array([(case.levels[:, 3] - case.levels[:, 1]).mean() for case in self.cases]),
            "size": np.array([np.log(np.prod(case.size)) for case in self.cases]),
            "foreground": np.array(
                [case.counts[list(self.foreground)].sum() / max(case.counts.sum(), 1) for case in self.cases]
            ),
        }
        found = []
        for what, values in figures.items():
            # Spread by the median, which the unusual ones do not move.
            spread = 1.4826 * np.median(np.abs(values - np.median(values)))
            if spread > 0:
                distances = (values - np.median(values)) / spread
                found += [(abs(d), case.name, what, d) for d, case in zip(distances, self.cases, strict=True)]
        seen, out = set(), []
        for distance, name, what, signed in sorted(found, reverse=True):
            if distance > 3.5 and name not in seen and len(out) < count:
                seen.add(name)
                out.append((name, f"{what} {'above' if signed > 0 else 'below'} the others"))
        return out


def fingerprint(
    splits, section, *, progress: Callable[[int, int], None] = lambda done, total: None, most: int = _MOST
) -> Fingerprint:
    """Measures a training split.

    Args:
      splits: as `open_splits` gives them.
      section: the data section with what the data say written into it.
      progress: called with the number of examples read and of all to be read.
      most: examples looked at; of more, so many are taken at even distances.

    Raises:
      DataError: no example can be read, or there are no labels.
    """
    reader = splits.train
    length = len(reader.names)
    indices = range(length) if length <= most else np.unique(np.linspace(0, length - 1, most).astype(int)).tolist()

    def look(index: int) -> Case | str:
        try:
            return case_of(reader(index), len(section.classes), section.void_id)
        except DataError as error:
            return str(error)

    cases, unread = [], []
    with ThreadPoolExecutor(_THREADS) as pool:
        for done, found in enumerate(pool.map(look, indices), 1):
            (unread if isinstance(found, str) else cases).append(found)
            progress(done, len(indices))
    if not cases:
        raise DataError(f"No example could be read, so there is nothing to plan from. The first: {unread[0]}")
    validation = 0 if splits.validation is None else len(splits.validation.names)
    return Fingerprint(length, validation, section.classes, cases[0].levels.shape[0], tuple(cases), tuple(unread))


def case_of(example: Example, classes: int, void_id: int) -> Case:
    """The figures of one example."""
    label, image = example.label, example.image
    if label is None or label.dtype.kind not in "iu":
        raise DataError(f"{example.name}: it has no label of class ids, from which a plan could be drawn.")
    label = label.astype(np.int32)
    void = label == void_id
    valid = label[~void]
    counts = np.append(np.bincount(valid, minlength=classes)[:classes], int(void.sum())).astype(np.int64)
    # For the parts and places of two classes the first is ground; of more, every class has parts.
    objects = (label > 0) & ~void
    step = max(1, int((label.size / _PIXELS) ** (1 / label.ndim)))
    thin = tuple(slice(None, None, step) for _ in label.shape)
    pixels = image[thin].reshape(-1, image.shape[-1]).astype(np.float32)
    inner, ground = objects[thin].ravel(), (~objects & ~void)[thin].ravel()
    medians = [
        np.median(pixels[mask], axis=0) if mask.any() else np.full(pixels.shape[1], np.nan) for mask in (inner, ground)
    ]
    parts = {}
    for class_id in np.unique(valid).tolist():
        if class_id < classes and (class_id > 0 or classes > 2):
            numbered, number = scipy.ndimage.label(label == class_id)
            parts[class_id] = np.bincount(numbered.ravel(), minlength=number + 1)[1:].astype(np.float64)
    return Case(
        name=example.name,
        size=tuple(label.shape),
        counts=counts,
        levels=np.percentile(pixels, _PERCENTILES, axis=0).T,
        inside=medians[0],
        outside=medians[1],
        parts=parts,
        places=_places(objects),
        trend=_trend(image, label, classes),
        hash=perceptual_hash(image) if label.ndim == 2 else None,
    )


def _places(objects: np.ndarray) -> np.ndarray:
    """bool `[GRID, …]`: the cells in which an object has a pixel."""
    places = np.zeros((GRID,) * objects.ndim, bool)
    at = tuple(indices * GRID // length for indices, length in zip(np.nonzero(objects), objects.shape, strict=True))
    places[at] = True
    return places


def _trend(image: np.ndarray, label: np.ndarray, classes: int) -> np.ndarray:
    third = label.shape[0] // 3
    if third == 0:
        return np.full(classes + 1, np.nan)
    grey = image.astype(np.float32).mean(axis=-1)
    spread = float(grey.std())
    brightness = (grey[-third:].mean() - grey[:third].mean()) / spread if spread > 0 else 0.0
    shares = [(label[-third:] == c).mean() - (label[:third] == c).mean() for c in range(classes)]
    return np.array([brightness, *shares])
