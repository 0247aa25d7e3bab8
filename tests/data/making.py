"""Small data sets on disk, made up for a test: coloured discs with a mask that follows them."""

from __future__ import annotations

import dataclasses
import os
import struct
import zlib

import numpy as np
from PIL import Image

from configs.schema import Augment, Config, Data, Train


def picture(number: int, size: tuple[int, int] = (24, 32)) -> tuple[np.ndarray, np.ndarray]:
    """An image uint8 `[h, w, 3]` and a mask of 0 and 255 `[h, w]` that no other number has."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    inside = (y - height / 2) ** 2 + (x - width * (0.3 + 0.01 * (number % 40))) ** 2 < (height / 3) ** 2
    image = np.stack([y * 3, x * 3, np.full(size, number % 256)], axis=-1).astype(np.uint8)
    image[inside] += 90
    return image, np.where(inside, 255, 0).astype(np.uint8)


def save(path: str | os.PathLike, array: np.ndarray, **options) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Image.fromarray(array).save(path, **options)


def make_folder(root, count: int = 6, size: tuple[int, int] = (24, 32), place: str = "") -> str:
    """images/000.png … with masks/000.png …; gives the folder's path."""
    for number in range(count):
        image, mask = picture(number, size)
        save(os.path.join(root, place, "images", f"{number:03}.png"), image)
        save(os.path.join(root, place, "masks", f"{number:03}.png"), mask)
    return str(root)


def config_for(path, *, seed: int = 0, batch_size: int = 4, augment: dict | None = None, **data) -> Config:
    """A config that reads a folder; keywords are fields of its data section."""
    return Config(
        seed=seed,
        data=Data(**{"source": "folder", "path": str(path), "classes": ("background", "disc"), **data}),
        augment=Augment(**{"crop": (16, 16), **(augment or {})}),
        train=Train(batch_size=batch_size),
    )


def changed(config: Config, **data) -> Config:
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **data))


def png_grey(values: np.ndarray, bits: int) -> bytes:
    """A grey PNG of 1, 2, 4 or 8 bits a pixel: Pillow writes those of 2 and 4 bits only as palettes."""
    height, width = values.shape
    per_byte = 8 // bits
    padded = np.zeros((height, -(-width // per_byte) * per_byte), np.uint8)
    padded[:, :width] = values
    packed = np.zeros((height, padded.shape[1] // per_byte), np.uint8)
    for position in range(per_byte):
        packed |= padded[:, position::per_byte] << (8 - bits * (position + 1))
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    return png_file(struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0), zlib.compress(rows))


def png_file(header: bytes, pixels: bytes) -> bytes:
    """A PNG from its IHDR and IDAT contents, with right checksums."""
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body
