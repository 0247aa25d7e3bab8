"""The files of a prediction, written a strip at a time: mask, overlay and probabilities, each complete or absent.

<output>/masks/<name>.png            palette PNG: a pixel's value is its class id; more than 256 classes: 16-bit grey
<output>/masks/<name>.tif            for a GeoTIFF, with its coordinates, and for a TIFF read by windows
<output>/overlays/<name>.jpg         the image with the classes' colours over it; every n-th pixel of a large one
<output>/probabilities/<name>.npy    float16 [height, width, classes]
<output>/probabilities/<name>.png    grey, 0 to 255: the second of two classes; of more <name>/<class>.png each
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from PIL import Image

from configs.schema import Data, Predict
from trainer.data.images.rasters import Raster
from trainer.prediction.overlapping import class_files, write_overlapping
from trainer.prediction.png import PngWriter, beside
from trainer.prediction.strips import Strip
from trainer.reporting.panels import class_colors, overlay_picture

# Pixels of the largest overlay, which is only for viewing.
_OVERLAY = 2**24
# The longest side that a JPEG file can have.
_JPEG_SIDE = 65500
# Side of the tiles in which TIFF masks are stored.
_TILE = 256


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Where predictions are written, and which.

    Attributes:
      folder: that of masks/ and the others.
      data, wanted: the config's sections `data` and `predict`.
    """

    folder: str
    data: Data
    wanted: Predict

    @property
    def classes(self) -> Sequence[str]:
        return self.data.classes

    def mask(self, name: str, *, tiff: bool = False) -> str:
        return os.path.join(self.folder, "masks", name + (".tif" if tiff else ".png"))

    def overlay(self, name: str) -> str:
        return os.path.join(self.folder, "overlays", name + ".jpg")

    def probabilities(self, name: str) -> list[str]:
        """The files of an image's probabilities; for pictures by class id."""
        place = os.path.join(self.folder, "probabilities", name)
        if self.wanted.probabilities == "none":
            return []
        if self.wanted.probabilities == "float16":
            return [place + ".npy"]
        if len(self.classes) <= 2 and not self.data.multi_label:
            return [place + ".png"]
        plain = [re.sub(r"[^\w.-]+", "_", text) for text in self.classes]
        plain = [text if plain.count(text) == 1 else f"{text}_{n}" for n, text in enumerate(plain)]
        return [os.path.join(place, text + ".png") for text in plain]

    def exist(self, name: str) -> bool:
        """Whether all requested files of an image exist."""
        others = [*self.probabilities(name), *([self.overlay(name)] if self.wanted.overlays else [])]
        masks = [[self.mask(name, tiff=tiff)] for tiff in (False, True)]
        if self.data.multi_label:
            masks.append(class_files(os.path.join(self.folder, "masks"), name, self.data))
        mask = any(all(os.path.isfile(path) for path in paths) for paths in masks)
        return mask and all(os.path.isfile(path) for path in others)

    def write(self, name: str, raster: Raster, strips: Iterable[Strip], *, tiff: bool = False) -> Written:
        """Writes an image's strips, from top to bottom.

        Args:
          name: that of the outputs, without extension.
          raster: the image, for its size and coordinates.
          strips: the predictions to write.
          tiff: whether the mask is a TIFF file.

        Raises:
          OSError: a file cannot be written; no incomplete file is left.
        """
        size, step = (raster.height, raster.width), 1
        counts = np.zeros([len(self.classes)], np.int64)
        writers: list = []
        try:
            if self.wanted.overlays:
                step = math.ceil(max(math.sqrt(raster.height * raster.width / _OVERLAY), max(size) / _JPEG_SIDE))
                writers.append(_Overlay(self.overlay(name), size, self.classes, step))
            paths = self.probabilities(name)
            if self.wanted.probabilities == "float16":
                count = len(self.classes) if self.data.multi_label else max(len(self.classes), 2)
                writers.append(_Array(paths[0], (*size, count)))
            elif paths:
                writers.append(_Pictures(paths, size))
            if self.data.multi_label:
                writers.append(_OverlappingMasks(os.path.join(self.folder, "masks"), name, self.data))
            else:
                writers.append(_TiffMask() if tiff else _PngMask(self.mask(name), size, self.classes))

            def passed_on() -> Iterator[np.ndarray]:
                for strip in strips:
                    counts[:] += _counted(strip.ids, len(counts))
                    for writer in writers:
                        writer.write(strip)
                    yield strip.ids

            if tiff and not self.data.multi_label:
                writers[-1].pull(self.mask(name, tiff=True), raster, self.classes, passed_on())
            else:
                for _ in passed_on():
                    pass
            for writer in writers:
                writer.close()
        except BaseException:
            for writer in writers:
                writer.abandon()
            raise
        mask = self.mask(name, tiff=tiff and not self.data.multi_label)
        return Written(os.path.relpath(mask, os.path.join(self.folder, "masks")), counts, step)


@dataclasses.dataclass(frozen=True)
class Written:
    """What was written for an image: the mask's file, the pixels of each class, and the step of the overlay."""

    mask: str
    counts: np.ndarray
    step: int


def _counted(ids: np.ndarray, classes: int) -> np.ndarray:
    """Pixels of each class; `np.bincount` would convert them all to 64-bit numbers first."""
    if ids.ndim == 3:
        return ids.sum(axis=(0, 1), dtype=np.int64)
    if classes > 8:
        return np.bincount(ids.ravel(), minlength=classes)
    return np.array([np.count_nonzero(ids == number) for number in range(classes)])


class _PngMask:
    """Class ids `[height, width]` as a PNG whose pixel values are the ids.

    With up to 256 classes it has a palette, which viewers show in colours; with more it is 16-bit grey.
    """

    def __init__(self, path: str, size: tuple[int, int], classes: Sequence[str]):
        few = len(classes) <= 256
        about = {"palette": class_colors(classes)} if few else {"bits": 16}
        self._file = PngWriter(path, *size, **about)
        self.close, self.abandon = self._file.close, self._file.abandon

    def write(self, strip: Strip) -> None:
        self._file.write(strip.ids)


class _OverlappingMasks:
    """Masks of classes that overlap; their files take a whole image at a time."""

    def __init__(self, folder: str, name: str, data: Data):
        self._about, self._parts = (folder, name, data), []

    def write(self, strip: Strip) -> None:
        self._parts.append(strip.ids)

    def close(self) -> None:
        folder, name, data = self._about
        write_overlapping(folder, name, np.concatenate(self._parts), data)

    def abandon(self) -> None:
        self._parts = []


class _Overlay:
    """Every `step`-th pixel of the overlay, as JPEG with full colour resolution, for viewing.

    A PNG took a tenth of the network's time to compress, and 2.6 times the space.
    """

    def __init__(self, path: str, size: tuple[int, int], classes: Sequence[str], step: int):
        self._path, self._classes, self._step = path, classes, step
        # Width and height, as in Pillow.
        self._size, self._made = (-(-size[1] // step), -(-size[0] // step)), None
        os.makedirs(os.path.dirname(path), exist_ok=True)

    def write(self, strip: Strip) -> None:
        step = self._step
        rows = slice(-strip.top % step, None, step)
        image, ids = strip.image[rows, ::step], strip.ids[rows, ::step]
        first = -(-strip.top // step)
        if not len(ids):
            return
        made = overlay_picture(image, ids, classes=self._classes)
        if self._made is None:
            self._made = made if made.size == self._size else Image.new("RGB", self._size)
        if self._made is not made:
            self._made.paste(made, (0, first))

    def close(self) -> None:
        self._made.save(beside(self._path), "JPEG", quality=90, subsampling="4:4:4")
        os.replace(beside(self._path), self._path)

    def abandon(self) -> None:
        if os.path.exists(beside(self._path)):
            os.remove(beside(self._path))


class _Array:
    """A NumPy file of float16, `[height, width, classes]`."""

    def __init__(self, path: str, shape: tuple[int, int, int]):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._path = path
        self._file = open(beside(path), "wb")
        about = {"descr": np.dtype("<f2").str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, about)

    def write(self, strip: Strip) -> None:
        self._file.write(np.ascontiguousarray(strip.probabilities, "<f2"))

    def close(self) -> None:
        self._file.close()
        os.replace(beside(self._path), self._path)

    def abandon(self) -> None:
        self._file.close()
        if os.path.exists(beside(self._path)):
            os.remove(beside(self._path))


class _Pictures:
    """A grey picture of each class's probability, or of the second of two."""

    def __init__(self, paths: Sequence[str], size: tuple[int, int]):
        self._first = 1 if len(paths) == 1 else 0
        self._files = [PngWriter(path, *size, level=1) for path in paths]

    def write(self, strip: Strip) -> None:
        levels = np.rint(strip.probabilities.astype(np.float32) * 255).astype(np.uint8)
        for number, file in enumerate(self._files, start=self._first):
            file.write(levels[:, :, number])

    def close(self) -> None:
        for file in self._files:
            file.close()

    def abandon(self) -> None:
        for file in self._files:
            file.abandon()


class _TiffMask:
    """A mask in deflated tiles, with a palette and the image's coordinates; rows are pulled, not pushed."""

    _path = ""

    def pull(self, path: str, raster: Raster, classes: Sequence[str], rows: Iterator[np.ndarray]) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._path = path
        palette = class_colors(classes) if len(classes) <= 256 else None
        write = _by_rasterio if raster.crs is not None or raster.transform is not None else _by_tifffile
        write(beside(path), raster, palette, rows)

    def write(self, strip: Strip) -> None:
        """It pulls."""

    def close(self) -> None:
        os.replace(beside(self._path), self._path)

    def abandon(self) -> None:
        if self._path and os.path.exists(beside(self._path)):
            os.remove(beside(self._path))


def _by_tifffile(path: str, raster: Raster, palette, rows: Iterator[np.ndarray]) -> None:
    import tifffile

    kind = np.dtype(np.uint8 if palette is not None else np.uint16)
    about = {"photometric": "minisblack"}
    if palette is not None:
        about = {"photometric": "palette", "colormap": palette.T.astype(np.uint16) * 257}

    def tiles() -> Iterator[np.ndarray]:
        for band in _bands(rows):
            for left in range(0, raster.width, _TILE):
                yield np.ascontiguousarray(band[:, left : left + _TILE], kind)

    with tifffile.TiffWriter(path, bigtiff=raster.height * raster.width * kind.itemsize > 2**31) as file:
        file.write(
            tiles(),
            shape=(raster.height, raster.width),
            dtype=kind,
            tile=(_TILE, _TILE),
            compression="zlib",
            metadata=None,
            software=False,
            # Otherwise it would read many rows of tiles at a time.
            maxworkers=1,
            extratags=[(*tag, True) for tag in raster.tags],
            **about,
        )


def _by_rasterio(path: str, raster: Raster, palette, rows: Iterator[np.ndarray]) -> None:
    import rasterio
    from rasterio.windows import Window

    kind = "uint8" if palette is not None else "uint16"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=raster.height,
        width=raster.width,
        count=1,
        dtype=kind,
        crs=raster.crs,
        transform=raster.transform,
        tiled=True,
        blockxsize=_TILE,
        blockysize=_TILE,
        compress="deflate",
        BIGTIFF="IF_SAFER",
    ) as file:
        if palette is not None:
            file.write_colormap(1, {number: (*color, 255) for number, color in enumerate(palette.tolist())})
        for number, band in enumerate(_bands(rows)):
            file.write(band.astype(kind, copy=False), 1, window=Window(0, number * _TILE, raster.width, len(band)))


def _bands(rows: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Any number of rows as bands as high as a tile, the last with the rest."""
    kept = None
    for part in rows:
        kept = part if kept is None else np.concatenate([kept, part])
        whole = len(kept) // _TILE * _TILE
        for top in range(0, whole, _TILE):
            yield kept[top : top + _TILE]
        kept = kept[whole:].copy()
    if kept is not None and len(kept):
        yield kept
