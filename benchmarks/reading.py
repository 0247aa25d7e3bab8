"""What reading a format costs beside decoding the same pixels from PNG files: ratios of processor time, in one run.

    python -m benchmarks.reading [--size=360] [--count=24]

For each format the same pictures and masks are written once as images/*.png with masks/*.png, and once as the format;
images lie as PNG in both. Every example is read `--times` times in turn, without cache, by one thread.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from configs.schema import Config, Data
from tests.data import format_folders
from trainer.data import open_data


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=360)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    formats = options.only.split(",") if options.only else list(format_folders.FOLDERS)
    _write_larger(options.size, options.count)
    print(f"{options.count} pictures of {options.size} x {options.size}; processor time, format over PNG pairs")
    for name in formats:
        with tempfile.TemporaryDirectory() as folder:
            ratio, share = _ratio(name, Path(folder), options.times)
        print(f"  {name:<20} {ratio:5.2f}   {share:6.2f} ms an example", flush=True)


def _write_larger(size: int, count: int) -> None:
    """The makers of the tests, with larger pictures: noise and shading, so that PNG has something to compress."""
    scale = size / 24
    random = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]

    def image(number):
        grey = 90 + 60 * np.sin(x / 31 + number) + 40 * np.cos(y / 17) + random.normal(0, 6, (size, size))
        return np.stack([grey, grey * 0.8, 255 - grey], axis=2).clip(0, 255).astype(np.uint8)

    def mask(number, void=True):
        label = np.zeros((size, size), np.uint8)
        for place in range(12):
            middle = random.uniform(0, size, 2)
            label[(y - middle[0]) ** 2 + (x - middle[1]) ** 2 < (size / 12) ** 2] = 1 + place % 2
        if void:
            label[: size // 10, : size // 8] = 255
        return label

    masks = {void: [mask(number, void) for number in range(count)] for void in (True, False)}
    small = format_folders.outlines
    format_folders.outlines = lambda n: [
        (c, [(a * scale * 0.6, b * scale) for a, b in points]) for c, points in small(n % 6)
    ]
    format_folders.image = image
    format_folders.mask = lambda number, void=True: masks[void][number].copy()
    format_folders.COUNT, format_folders.SIZE = count, (size, size)
    format_folders.HEIGHT = format_folders.WIDTH = size
    format_folders.STEMS = tuple(f"pic {number}" for number in range(count))


def _ratio(name: str, root: Path, times: int) -> tuple[float, float]:
    format_folders.FOLDERS[name](root / "format")
    for path in list((root / "format").rglob("*.jpg")):
        Image.open(path).save(path.with_suffix(".tmp"), "PNG")
        os.replace(path.with_suffix(".tmp"), path)  # Bytes decide: the same pixels as PNG under both.
    given = open_data(Config(data=Data(source="folder", path=str(root / "format"), cache_mib=0, channels=0)))
    for number in range(len(given.train)):
        example = given.train.load(number)
        for kind, array in (("images", example.image), ("masks", example.label)):
            (root / "plain" / kind).mkdir(parents=True, exist_ok=True)
            array = array if array.shape[-1] != 2 else np.dstack([array, array[:, :, :1]])
            Image.fromarray(array.astype(np.uint8)).save(root / "plain" / kind / f"{number:04}.png")
    section = {"classes": given.classes, "mask_encoding": "ids", "validation_fraction": 0.01}
    plain = open_data(Config(data=Data(source="pairs", path=str(root / "plain"), cache_mib=0, **section)))
    spent = {"format": 0.0, "plain": 0.0}
    for turn in range(times + 1):
        for which, data in (("format", given), ("plain", plain)):
            before = time.process_time()
            for number in range(len(plain.train)):
                data.train.load_compact(number)
            spent[which] += (time.process_time() - before) if turn else 0.0  # The first turn warms up.
    return spent["format"] / spent["plain"], 1000 * spent["format"] / times / len(plain.train)


if __name__ == "__main__":
    main()
