"""The basis of a plan: figures of the training images and labels, of every example or of a stated sample."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.ndimage

from trainer.data.check.look_alikes import alike, perceptual_hash
from trainer.data.errors import DataError
from trainer.data.example import Example
from trainer.data.volumes.cases import read_image, read_label
from trainer.data.volumes.intensities import filled_box
from trainer.data.volumes.source import Cases, VolumeExample

# Examples beyond this many are represented by this many, spread evenly over the list; the plan says so.
_MOST = 400
# Volumes take seconds each.
_MOST_VOLUMES = 100
_THREADS = 4
# Cells along each axis of the grid for the places of the foreground.
GRID = 32
# Class 0 is the ground if it has a larger share than this, whatever its name.
_GROUND = 0.8
# A trend is not trusted in fewer cases.
FEWEST_CASES = 8
# Pixels of an image from which its intensities are computed.
_PIXELS = 20_000
# Pixels of a class among them from which its median is trusted.
_ENOUGH = 20
# How many of those are kept for histograms, for foreground and background each.
_VALUES = 500
# Voxels of a label examined for its parts.
_VOXELS = 10_000_000
_PERCENTILES = (0.5, 5, 50, 95, 99.5)


@dataclasses.dataclass(frozen=True)
class Case:
    """The figures of an example.

    size: pixels along each spatial axis.
    counts: int64 `[classes + 1]`: pixels of each class, void last.
    levels: float `[channels, 5]`: percentiles 0.5, 5, 50, 95, 99.5 of the values, by channel.
    inside, outside: float `[channels]`: median of the values over foreground and background; NaN if there is none.
    medians: float `[classes, channels]`: median of the values over each class; NaN if there is little of it.
    values: float32 `[some pixels, channels]` of the foreground, and of the background.
    parts: class id -> sizes of its connected parts, in pixels, or in cubic millimetres for volumes.
    places: bool `[GRID, …]`: the cells of a grid over the example that have foreground.
    trend: float `[rank, 1 + classes]`: along each axis, last third minus first third: of brightness as a share of the
      example's own spread, then of each class's share; NaN if an axis is too short.
    hash: as `perceptual_hash`, of the middle slice of a volume.
    spacing: millimetres of a voxel along each axis; empty for images.
    """

    name: str
    size: tuple[int, ...]
    counts: np.ndarray
    levels: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    medians: np.ndarray
    values: tuple[np.ndarray, np.ndarray]
    parts: dict[int, np.ndarray]
    places: np.ndarray
    trend: np.ndarray
    hash: np.ndarray
    spacing: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """Figures of a training split.

    examples: how many in the split; `cases` are those examined, `unread` the reasons for those that could not be.
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
        """int `[cases, rank]`, in the pixels or voxels of the files."""
        return np.array([case.size for case in self.cases])

    @property
    def spacings(self) -> np.ndarray:
        """float `[cases, rank]`, millimetres of a voxel; only for volumes."""
        return np.array([case.spacing for case in self.cases])

    @property
    def images(self) -> str:
        """The word for examples."""
        return "images" if self.rank == 2 else "volumes"

    @property
    def pixels(self) -> str:
        return "pixels" if self.rank == 2 else "voxels"

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
        """int `[classes]`: examples with the class."""
        return np.sum([case.counts[:-1] > 0 for case in self.cases], axis=0)

    @property
    def foreground(self) -> tuple[int, ...]:
        """Ids of the classes that are objects: the second of two, all but a background of more."""
        first = self.classes[0].lower() if self.classes else ""
        ground = len(self.classes) == 2 or first in ("background", "bg", "void", "none", "unlabeled", "unlabelled")
        ground = ground or bool(self.classes) and float(self.shares[0]) > _GROUND
        return tuple(range(1 if ground else 0, len(self.classes)))

    @property
    def foreground_share(self) -> float:
        return float(self.shares[list(self.foreground)].sum())

    def diameters(self, class_id: int) -> np.ndarray:
        """Equivalent diameters of the class's parts, in pixels or mm: those of circles or balls of the same size."""
        sizes = np.concatenate([case.parts.get(class_id, np.empty(0)) for case in self.cases])
        return 2 * np.sqrt(sizes / np.pi) if self.rank == 2 else 2 * np.cbrt(3 * sizes / (4 * np.pi))

    def empty_crops(self, crop: Sequence[int]) -> float:
        """Share of the random crops of this size without foreground, from the grid of each case."""
        empty = []
        for case in self.cases:
            window = [
                min(GRID, max(1, round(GRID * side / length))) for side, length in zip(crop, case.size, strict=True)
            ]
            held = scipy.ndimage.maximum_filter(case.places, window, mode="constant", cval=0)
            # Windows inside: their centres are half a window away from the border.
            inner = tuple(slice(w // 2, max(w // 2 + 1, GRID - (w - 1) // 2)) for w in window)
            empty.append(1.0 - float(held[inner].mean()))
        return float(np.mean(empty))

    def trend(self) -> np.ndarray:
        """`[rank, 1 + classes]`: the mean over the cases of `Case.trend`, in its standard errors; 0 with few cases."""
        values = np.array([case.trend for case in self.cases])
        known = np.isfinite(values)
        count = known.sum(axis=0)
        mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1)
        squares = np.where(known, (values - mean) ** 2, 0.0).sum(axis=0)
        error = np.sqrt(squares / np.maximum(count - 1, 1) / np.maximum(count, 1))
        return np.where(count >= FEWEST_CASES, mean / np.maximum(error, 1e-12), 0.0)

    def alike(self) -> list[str]:
        """Pairs of training examples that look nearly the same, such as slices of one volume."""
        return alike([case.name for case in self.cases], np.stack([case.hash for case in self.cases]))

    def unusual(self, count: int = 6) -> list[tuple[str, str]]:
        """(name, why) of the examples farthest from the others in brightness, contrast, size or foreground."""
        figures = {
            "brightness": np.array([case.levels[:, 2].mean() for case in self.cases]),
            "contrast": np.array([(case.levels[:, 3] - case.levels[:, 1]).mean() for case in self.cases]),
            "size": np.array([np.log(np.prod(case.size)) for case in self.cases]),
        }
        if 0 not in self.foreground:
            figures["foreground"] = np.array(
                [case.counts[list(self.foreground)].sum() / max(case.counts.sum(), 1) for case in self.cases]
            )
        found = []
        for what, values in figures.items():
            # Spread by the median, which the unusual ones do not change.
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

    def usual(self, count: int = 2) -> list[str]:
        """Names of the examples nearest to the medians of brightness, contrast and size."""
        rows = np.array(
            [
                (case.levels[:, 2].mean(), (case.levels[:, 3] - case.levels[:, 1]).mean(), np.log(np.prod(case.size)))
                for case in self.cases
            ]
        )
        ranks = np.abs(np.argsort(np.argsort(rows, axis=0), axis=0) - (len(rows) - 1) / 2).sum(axis=1)
        return [self.cases[number].name for number in np.argsort(ranks, kind="stable")[:count]]


def fingerprint(
    splits, section, *, progress: Callable[[int, int], None] = lambda done, total: None, most: int = 0
) -> Fingerprint:
    """Measures a training split.

    Args:
      splits: as returned by `open_splits`.
      section: the data section, completed from the data.
      progress: called with the number of examples read and the total.
      most: examples examined; of more, this many, evenly spaced. 0: 400 images, or 100 volumes.

    Raises:
      DataError: no example can be read, or there are no labels.
    """
    if section.multi_label:
        raise DataError(
            "A plan is drawn from classes that exclude each other, and these overlap (data.labels=multi). "
            "configs/own.py is a recipe to begin with."
        )
    reader = splits.train
    length, volumes = len(reader.names), isinstance(reader, Cases)
    most = most or (_MOST_VOLUMES if volumes else _MOST)
    indices = range(length) if length <= most else np.unique(np.linspace(0, length - 1, most).astype(int)).tolist()

    def look(index: int) -> Case | str:
        try:
            return case_of(example_of(reader, index, section), len(section.classes), section.void_id)
        except DataError as error:
            return str(error)

    cases, unread = [], []
    with ThreadPoolExecutor(1 if volumes else _THREADS) as pool:
        for done, found in enumerate(pool.map(look, indices), 1):
            (unread if isinstance(found, str) else cases).append(found)
            progress(done, len(indices))
    if not cases:
        raise DataError(f"No example could be read, so there is nothing to plan from. The first: {unread[0]}")
    validation = 0 if splits.validation is None else len(splits.validation.names)
    return Fingerprint(length, validation, section.classes, cases[0].levels.shape[0], tuple(cases), tuple(unread))


def example_of(reader, index: int, section) -> Example:
    """An example; a volume as in its file, since spacing and intensities are not decided yet."""
    if not isinstance(reader, Cases):
        return reader(index)
    files = reader.files[index]
    image, header, orientation = read_image(files)
    label, box = read_label(files, header, section), filled_box(image)
    return VolumeExample(image[box], label[box], reader.names[index], spacing=orientation.spacing)


def case_of(example: Example, classes: int, void_id: int) -> Case:
    """The figures of one example."""
    label, image = example.label, example.image
    if label is None or label.dtype.kind not in "iu":
        raise DataError(f"{example.name}: it has no label of class ids, from which a plan could be drawn.")
    label = label.astype(np.int32)
    void = label == void_id
    valid = label[~void]
    counts = np.append(np.bincount(valid, minlength=classes)[:classes], int(void.sum())).astype(np.int64)
    # With two classes the first is ground for parts and places; with more, every class has parts.
    objects = (label > 0) & ~void
    step = max(1, int((label.size / _PIXELS) ** (1 / label.ndim)))
    thin = tuple(slice(None, None, step) for _ in label.shape)
    pixels = image[thin].reshape(-1, image.shape[-1]).astype(np.float32)
    inner, ground = objects[thin].ravel(), (~objects & ~void)[thin].ravel()
    medians = [
        np.median(pixels[mask], axis=0) if mask.any() else np.full(pixels.shape[1], np.nan) for mask in (inner, ground)
    ]
    seen = label[thin].ravel()
    of_classes = np.full((classes, pixels.shape[1]), np.nan)
    for class_id in np.flatnonzero(np.bincount(seen[~void[thin].ravel()], minlength=classes)[:classes] >= _ENOUGH):
        of_classes[class_id] = np.median(pixels[seen == class_id], axis=0)
    spacing = tuple(getattr(example, "spacing", ())) or ((1.0,) * 3 if label.ndim == 3 else ())
    # Every second or third voxel of a large volume.
    step = max(1, round((label.size / _VOXELS) ** (1 / label.ndim)))
    small = label[(slice(None, None, step),) * label.ndim]
    unit, parts = math.prod(spacing) * step**label.ndim, {}
    for class_id in np.flatnonzero(counts[:-1]).tolist():
        if class_id > 0 or classes > 2:
            numbered, number = scipy.ndimage.label(small == class_id)
            if number:
                parts[class_id] = unit * np.bincount(numbered.ravel())[1:].astype(np.float64)
    return Case(
        name=example.name,
        size=tuple(label.shape),
        counts=counts,
        levels=np.percentile(pixels, _PERCENTILES, axis=0).T,
        inside=medians[0],
        outside=medians[1],
        medians=of_classes,
        values=tuple(_some(pixels[mask]) for mask in (inner, ground)),
        parts=parts,
        places=_places((small > 0) & (small != void_id)),
        trend=_trend(image[thin], label[thin], classes),
        hash=perceptual_hash(image),
        spacing=spacing,
    )


def _some(values: np.ndarray) -> np.ndarray:
    """At most `_VALUES` rows, evenly spread."""
    return values[:: max(1, -(-len(values) // _VALUES))]


def _places(objects: np.ndarray) -> np.ndarray:
    """bool `[GRID, …]`: the cells with a pixel of an object."""
    places = np.zeros((GRID,) * objects.ndim, bool)
    at = tuple(indices * GRID // length for indices, length in zip(np.nonzero(objects), objects.shape, strict=True))
    places[at] = True
    return places


def _trend(image: np.ndarray, label: np.ndarray, classes: int) -> np.ndarray:
    grey = image.astype(np.float32).mean(axis=-1)
    spread, rows = float(grey.std()), []
    for axis, side in enumerate(label.shape):
        third = side // 3
        if third == 0:
            rows.append([np.nan] * (1 + classes))
            continue
        first, last = ([slice(None)] * label.ndim for _ in range(2))
        first[axis], last[axis] = slice(third), slice(side - third, None)
        first, last = tuple(first), tuple(last)
        brightness = float(grey[last].mean() - grey[first].mean()) / spread if spread > 0 else 0.0
        rows.append([brightness, *((label[last] == c).mean() - (label[first] == c).mean() for c in range(classes))])
    return np.array(rows)
