"""Prepared volumes as the examples of a split: kept in memory while they fit, otherwise mapped from files.

The files are named after their sources and their preparation: the next run finds them, another preparation does not. A
crop reads only the pages of a file under it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from configs.schema import Data
from trainer import console
from trainer.data.augment.patches import positions_of
from trainer.data.errors import DataError, listed, shown
from trainer.data.example import Example
from trainer.data.source import Source
from trainer.data.volumes import cases
from trainer.data.volumes.cases import Files, Place, Prepared
from trainer.data.volumes.files import Header
from trainer.data.volumes.orientation import Orientation

# Cases prepared at a time; only one, if any has more voxels than this.
_THREADS, _LARGE = 2, 50_000_000
_SAID_EVERY = 10.0  # seconds
# The version of the preparation: another number ignores older files.
_VERSION = 1


@dataclasses.dataclass(frozen=True)
class VolumeExample(Example):
    """A prepared volume: image float32 `[depth, height, width, channels]`, label class ids or None, mapped or not.

    positions: int32 `[voxels, 4]`, class and position of some voxels of each class but the first, for crops over them.
    place: its place in the file.
    spacing: millimetres of its voxels along depth, height and width.
    """

    positions: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 4), np.int32))
    place: Place | None = None
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def nbytes(self) -> int:
        return super().nbytes + self.positions.nbytes


class Cases:
    """Reads the cases of a split, by index.

    Args:
      files: those of each case.
      data: the config's section.
      regions: name -> the class ids that it unites, for scores.
    """

    features = None

    def __init__(self, files: Sequence[Files], data: Data, regions: Mapping[str, tuple[int, ...]] | None = None):
        self.files = tuple(files)
        self.names = tuple(case.name for case in files)
        self.regions = dict(regions or {})
        self.data = data

    @staticmethod
    def chosen(readers: Sequence[Cases], numbers: Sequence[int]) -> Cases:
        """Some cases of several splits, numbered through all of them, for folds."""
        files = [case for reader in readers for case in reader.files]
        return Cases([files[number] for number in numbers], readers[0].data, readers[0].regions)

    def reading(self, data: Data) -> Cases:
        """The same cases, read with another data section."""
        return Cases(self.files, data, self.regions)

    def __call__(self, index: int) -> VolumeExample:
        return _example(self.names[index], cases.prepare(self.files[index], self.data), self.data)

    def label(self, index: int, place: Place) -> np.ndarray:
        """The label as in its file, `[depth, height, width]`, at the image's own spacing."""
        return cases.read_label(self.files[index], place.header, self.data)

    def source(self, split: str, **about) -> VolumeSource:
        """The `VolumeSource` for `opening`."""
        return VolumeSource(split, self, **about)


def _example(name: str, prepared: Prepared, data: Data) -> VolumeExample:
    have = prepared.place.spacing
    sides = zip(prepared.place.box_shape, have, prepared.image.shape[:3], strict=True)
    spacing = tuple(length * before / after for before, length, after in sides)
    sample = prepared.image.reshape(-1)[:: max(1, prepared.image.size // 100_000)]
    low, high = np.percentile(sample, (0.5, 99.5))
    return VolumeExample(
        prepared.image,
        prepared.label,
        name,
        span=float(high - low),
        positions=positions_of(prepared.label, data.void_id),
        place=prepared.place,
        spacing=spacing,
    )


class VolumeSource(Source):
    """A split of volumes; those that do not fit in memory are mapped from files below `data.cache_path`."""

    def __init__(self, split: str, reader: Cases, **about):
        super().__init__(split, reader.names, reader, **about)
        self.reader, self.regions = reader, reader.regions
        self._folder = os.path.expanduser(reader.data.cache_path) or os.path.join(
            tempfile.gettempdir(), f"gradline-volumes-{os.getuid() if hasattr(os, 'getuid') else 'own'}"
        )
        self._mapped: dict[int, VolumeExample] = {}
        self._locks = [threading.Lock() for _ in reader.names]
        self._prepared = False

    def load_compact(self, index: int) -> VolumeExample:
        with self._locks[index]:
            return self._kept(index) or self._make(index)

    def _kept(self, index: int) -> VolumeExample | None:
        return self._mapped.get(index) or (self._cache.get((self.split, index)) if self._cache else None)

    def _make(self, index: int) -> VolumeExample:
        folder = os.path.join(self._folder, self._key(index))
        example = _mapped(folder, self.names[index])
        if example is None:
            example = self.reader(index)
            if self._cache is not None:
                self._cache.offer((self.split, index), example)
                if self._cache.get((self.split, index)) is not None:
                    return example
            try:
                _write(folder, example)
            except OSError as error:
                raise DataError(
                    f"{shown(folder)}: the prepared volume cannot be written: {error.strerror}. Another place: "
                    "--config.data.cache_path=FOLDER; or more in memory: --config.data.cache_mib=…"
                ) from error
            example = _mapped(folder, self.names[index])
        self._mapped[index] = example
        return example

    def _key(self, index: int) -> str:
        files, data = self.reader.files[index], self.reader.data
        stats = []
        for path in (*files.images, files.label):
            if path:
                stat = os.stat(path)
                stats.append((os.path.abspath(path), stat.st_size, stat.st_mtime_ns))
        how = (data.spacing, data.resampling, data.normalize, data.intensities, data.mask_ids, data.void_values)
        text = repr((_VERSION, stats, how, data.void_id, len(data.classes), data.channels))
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]

    def prepare(self, *, stop: bool) -> None:
        """Prepares every case once, before the first step needs them; later calls return at once.

        Long preparation is logged: a line now and then with the number of finished cases.

        Raises:
          DataError: if `stop`, with all cases that cannot be used; otherwise they are in `skipped`.
        """
        if self._prepared:
            return
        large = False

        def load(index: int) -> str:
            try:
                example = self.load_compact(index)
            except DataError as error:
                return str(error)
            nonlocal large
            large = large or example.image.size > _LARGE
            return ""

        logged = time.monotonic()
        problems = [load(0)] if self.names else []
        with ThreadPoolExecutor(1 if large else _THREADS) as pool:
            for done, problem in enumerate(pool.map(load, range(1, len(self.names))), start=2):
                problems.append(problem)
                if time.monotonic() - logged > _SAID_EVERY:
                    logged = time.monotonic()
                    console.log(f"  prepared {done} of {len(self.names)} volumes")
        bad = {name: problem for name, problem in zip(self.names, problems, strict=True) if problem}
        if bad and stop:
            count = f"{len(bad)} cases of the {self.split} split cannot be used"
            raise DataError(f"{count}:\n{listed(list(bad.values()))}" if len(bad) > 1 else next(iter(bad.values())))
        self.skipped.update(bad)
        self._prepared = True


def _write(folder: str, example: VolumeExample) -> None:
    """Writes all files of a prepared case, or none: first under temporary names."""
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    beside = tempfile.mkdtemp(dir=os.path.dirname(folder), prefix=".writing-")
    try:
        np.save(os.path.join(beside, "image.npy"), example.image)
        if example.label is not None:
            np.save(os.path.join(beside, "label.npy"), example.label)
        np.save(os.path.join(beside, "positions.npy"), example.positions)
        place = example.place
        about = {
            "span": example.span,
            "spacing": example.spacing,
            "path": place.header.path,
            "channels": place.header.channels,
            "kind": place.header.kind,
            "file_shape": place.header.shape,
            "affine": place.header.affine.tolist(),
            "shape": place.shape,
            "box": [part.indices(side)[:2] for part, side in zip(place.box, place.shape, strict=True)],
        }
        with open(os.path.join(beside, "about.json"), "w", encoding="utf-8") as file:
            json.dump(about, file)
        try:
            os.rename(beside, folder)
        except OSError:
            # Another process was faster, with the same contents.
            if not os.path.isfile(os.path.join(folder, "about.json")):
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _mapped(folder: str, name: str) -> VolumeExample | None:
    """A prepared case from its files, with the voxels still on disk; None if it is missing or incomplete."""
    try:
        with open(os.path.join(folder, "about.json"), encoding="utf-8") as file:
            about = json.load(file)
        image = np.load(os.path.join(folder, "image.npy"), mmap_mode="r")
        path = os.path.join(folder, "label.npy")
        label = np.load(path, mmap_mode="r") if os.path.exists(path) else None
        positions = np.load(os.path.join(folder, "positions.npy"))
        affine = np.array(about["affine"])
        header = Header(about["path"], tuple(about["file_shape"]), about["channels"], affine, about["kind"])
        box = tuple(slice(*part) for part in about["box"])
        place = Place(header, Orientation.of(affine), tuple(about["shape"]), box)
        return VolumeExample(
            image, label, name, span=about["span"], positions=positions, place=place, spacing=tuple(about["spacing"])
        )
    except (OSError, ValueError, KeyError):
        return None
