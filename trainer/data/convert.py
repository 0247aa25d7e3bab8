"""Writes any readable data set as files: train/images and train/masks, val/images and val/masks."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import numpy as np
from PIL import Image

from configs.reading.levels import rank_of
from trainer.data.errors import DataError
from trainer.data.images.files import IMAGE_SUFFIXES
from trainer.data.source import DataSets, Source

_FOLDERS = {"train": "train", "validation": "val"}


def convert(data: DataSets, output: str, *, progress: Callable[[int, int], None] = lambda done, total: None) -> int:
    """Writes the examples of both splits, and the class names to classes.txt, one a line.

    Images of 8 bits become PNG files; deeper ones, and those with 2 or more than 3 channels, TIFF files of float32.
    Masks are PNG files whose pixels are the class ids, of 8 bits, or 16 where an id or the void id needs them.
    data.source=folder reads the files with data.mask_encoding=ids and these classes. Classes that overlap get a mask
    file each, masks/<class>/<name>.png.

    Args:
      data: as returned by `open_data`; with class ids as labels.
      output: a folder, created if necessary; files in it are replaced.
      progress: called with the number of examples written and the total.
    Returns:
      the number of examples written.
    Raises:
      DataError: an example cannot be used, or has no class ids; two examples would get the same file.
      OSError: the folder cannot be written.
    """
    if data.config is not None and rank_of(data.config) == 3:
        raise DataError("Volumes are not written as images and masks: their files can be read wherever these go.")
    sources = [source for source in (data.train, data.validation) if source is not None]
    total, done = sum(len(source) for source in sources), 0
    for source in sources:
        if "label" not in source.features or source.features["label"].kind != "ids":
            raise DataError(f"The {source.split} examples have no class ids, so there are no masks to write.")
        names = _file_names(source)
        for index, name in enumerate(names):
            example = source.load(index)
            folder = os.path.join(output, _FOLDERS[source.split])
            _write_image(example.image, os.path.join(folder, "images", name))
            label = example.label
            if label.ndim == 3:
                _write_planes(label, os.path.join(folder, "masks"), name, data)
                done += 1
                progress(done, total)
                continue
            if label.min() < 0:
                what = f"holds the void id {data.void_id}, which no PNG can"
                raise DataError(f"{example.name}: {what}: data.void_id=255.")
            picture = Image.fromarray(label.astype(np.uint16 if label.max() > 255 else np.uint8))
            _save(picture, os.path.join(folder, "masks", name + ".png"))
            done += 1
            progress(done, total)
    with open(os.path.join(output, "classes.txt"), "w", encoding="utf-8") as file:
        file.write("".join(name + "\n" for name in data.classes))
    return done


def _write_planes(label: np.ndarray, folder: str, name: str, data: DataSets) -> None:
    """A file of 0 and 255 for each of the classes that overlap; void pixels are 128 (data.void_values=128)."""
    values = np.where(label == data.void_id, 128, label * 255).astype(np.uint8)
    for number, class_name in enumerate(data.classes):
        path = os.path.join(folder, re.sub(r"[^\w.\- ]+", "_", class_name), name + ".png")
        _save(Image.fromarray(values[:, :, number]), path)


def _file_names(source: Source) -> list[str]:
    """A name for each example's files, without suffix: its own, as far as it is allowed for a file."""
    names, seen = [], {}
    for name in source.names:
        # In "a.tif[3]" and "train.parquet[7]" only the number distinguishes examples.
        plain, suffix = os.path.splitext(name)
        plain = plain if suffix.lower() in IMAGE_SUFFIXES else name
        stem = re.sub(r"[^\w.\- ]+", "_", plain).strip("_ .") or "example"
        if stem.casefold() in seen:
            raise DataError(f"{name} and {seen[stem.casefold()]} would both be written as {stem}.png.")
        seen[stem.casefold()] = name
        names.append(stem)
    return names


def _write_image(image: np.ndarray, path: str) -> None:
    if image.dtype == np.uint8 and image.shape[2] in (1, 3):
        _save(Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image), path + ".png")
        return
    try:
        import tifffile
    except ImportError as error:
        what = "Images of more than 8 bits or 3 channels are written by tifffile"
        raise DataError(f"{what}: pip install tifffile") from error
    os.makedirs(os.path.dirname(path), exist_ok=True)
    tifffile.imwrite(path + ".tif", image, photometric="minisblack", planarconfig="contig")


def _save(picture: Image.Image, path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    picture.save(path)
