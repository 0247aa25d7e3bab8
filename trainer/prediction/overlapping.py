"""Writes predictions of classes that overlap in the form of the training masks.

bits     masks/<name>.png           bit k of a pixel is class k; 8 bits, or 16 for more than 8 classes
regions  masks/<name>.png           with data.region_values: the value of a pixel's last class, 0 where it has none
planes   masks/<name>.png           3 or 4 classes: the channels, 0 and 255
         masks/<name>.tif           else a page for each class
else     masks/<class>/<name>.png   a file for each class, 0 and 255
"""

from __future__ import annotations

import os
import re

import numpy as np
from PIL import Image

from configs.schema import Data


def write_overlapping(folder: str, name: str, planes: np.ndarray, data: Data) -> list[str]:
    """Writes `[height, width, classes]` of 0 and 1 below `folder`; returns the paths.

    Args:
      folder: created, with subfolders.
      name: that of the image, without suffix; may have folders in it.
      planes: the classes of each pixel.
      data: `mask_encoding`, `region_values` and `classes` are read. More than 16 classes in bits are written as a file
        for each.

    Raises:
      OSError: a file cannot be written.
    """
    count = planes.shape[2]
    if data.mask_encoding == "bits" and count <= 16:
        values = (planes.astype(np.int64) << np.arange(count)).sum(axis=2)
        picture = Image.fromarray(values.astype(np.uint8 if count <= 8 else np.uint16))
        return [_saved(picture, os.path.join(folder, name + ".png"))]
    if data.mask_encoding == "regions" and data.region_values:
        values = np.zeros(planes.shape[:2], np.uint8 if max(data.region_values) < 256 else np.uint16)
        for k, value in enumerate(data.region_values):
            values[planes[:, :, k] == 1] = value
        return [_saved(Image.fromarray(values), os.path.join(folder, name + ".png"))]
    full = [Image.fromarray((planes[:, :, k] * 255).astype(np.uint8)) for k in range(count)]
    if data.mask_encoding == "planes" and count in (3, 4):
        return [_saved(Image.merge("RGB" if count == 3 else "RGBA", full), os.path.join(folder, name + ".png"))]
    if data.mask_encoding == "planes":
        path = os.path.join(folder, name + ".tif")
        return [_saved(full[0], path, save_all=True, append_images=full[1:], compression="tiff_deflate")]
    return [_saved(picture, path) for path, picture in zip(class_files(folder, name, data), full, strict=True)]


def class_files(folder: str, name: str, data: Data) -> list[str]:
    """The paths of an image's masks, with a file for each class."""
    plain = [re.sub(r"[^\w.\- ]+", "_", class_name) for class_name in data.classes]
    return [os.path.join(folder, class_name, name + ".png") for class_name in plain]


def _saved(picture: Image.Image, path: str, **how) -> str:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    picture.save(path, **how)
    return path
