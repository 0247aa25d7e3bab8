"""What prediction reaches: of many files against the network alone, at every size, and in how much memory.

    python -m benchmarks.predict                       # all, some ten minutes on two cores
    python -m benchmarks.predict --only=files          # files | sizes | memory | mosaics
    python -m benchmarks.predict --workdir=runs/nuclei # a trained network; default: the default recipe's, untrained

files: a folder of images of several sizes goes through `predict`, and the same images, decoded beforehand and in the
same batches, through the network and nothing else; rounds take turns, and the ratio is the median of the rounds'. Masks
alone, and with overlays. Of processor time there is a second ratio, which other processes touch less.
sizes: pixels a second of processor time at each size, as a share of those of 1024 x 1024.
memory: the largest resident set of a process of its own that predicts one image from a file.
mosaics: mean Dice of validation images, turned and mirrored, each alone and as they are found in one picture of many,
taken apart at its seams and not; needs --workdir, of a run on the nuclei.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from trainer.process import prepare

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
settings = prepare()

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from configs.nuclei import get_config  # noqa: E402
from configs.schema import Predict  # noqa: E402
from trainer.data.sources import nuclei  # noqa: E402
from trainer.models import build_model  # noqa: E402
from trainer.prediction.network import Network  # noqa: E402
from trainer.prediction.paths import predict_paths  # noqa: E402
from trainer.prediction.strips import strips, strips_of_pictures  # noqa: E402

SIZES = (
    (256, 256),
    (700, 700),
    (1280, 1400),
    (1500, 1500),
    (2000, 3000),
    (3000, 2000),
    (256, 20000),
    (20000, 256),
    (1030, 1030),
    (4000, 6000),
)
MEMORY = ((1024, 1024), (2000, 3000), (10000, 10000))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", choices=("files", "sizes", "memory", "mosaics"))
    parser.add_argument("--workdir", default="", help="of a trained run")
    parser.add_argument("--images", type=int, default=48, help="in the folder (default 48)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=float, default=24, help="megapixels of the largest size (default 24)")
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.one:
        return one_file(options.one, options.workdir)
    print(settings.describe())
    model, config = network(options.workdir)
    if options.only in (None, "files"):
        files(model, config, options.images, options.rounds)
    if options.only in (None, "sizes"):
        sizes(model, config, options.rounds, options.most)
    if options.only in (None, "memory"):
        memory(options.workdir, options.most)
    if options.only == "mosaics" or options.only is None and options.workdir:
        mosaics(model, config, options.most)
    return 0


def network(workdir: str):
    """The model and its config."""
    if not workdir:
        config = get_config()
        return build_model(config), config
    from configs.reading.serialization import from_json
    from trainer import Run

    with open(os.path.join(workdir, "config.json"), encoding="utf-8") as file:
        run = Run(from_json(file.read()), workdir=workdir)
    with run.weights("best"):
        model = build_model(run.config)
        model.set_weights(run.task.model.get_weights())
    return model, run.config


def pictures() -> list[np.ndarray]:
    folder = os.path.join(os.path.dirname(nuclei.__file__), "nuclei", "images")
    return [np.asarray(Image.open(os.path.join(folder, name)).convert("RGB")) for name in sorted(os.listdir(folder))]


def mosaic(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Real pictures side by side, uint8 `[height, width, 3]`."""
    known = [picture for picture in pictures() if picture.shape[:2] == (256, 256)]
    random, made = np.random.default_rng(seed), np.empty([height, width, 3], np.uint8)
    for top in range(0, height, 256):
        for left in range(0, width, 256):
            part = made[top : top + 256, left : left + 256]
            part[:] = known[random.integers(len(known))][: part.shape[0], : part.shape[1]]
    return made


def one_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A real picture, enlarged, with a camera's noise: uint8 `[height, width, 3]`, without seams."""
    known, random = pictures(), np.random.default_rng(seed)
    picture = Image.fromarray(known[random.integers(len(known))]).resize((width, height), Image.Resampling.BICUBIC)
    made = np.asarray(picture).astype(np.int16)
    for top in range(0, height, 256):
        rows = made[top : top + 256]
        rows += random.integers(-2, 3, rows.shape, np.int16)
    return np.clip(made, 0, 255, out=made).astype(np.uint8)


def timed(function: Callable[[], None]) -> tuple[float, float]:
    """Seconds of wall and of processor time."""
    wall, used = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - used


def files(model, config, count: int, rounds: int) -> None:
    """Many files against the network alone."""
    alone = Network(model, config)
    with tempfile.TemporaryDirectory() as folder:
        shapes = [(256, 256), (320, 256), (360, 360), (512, 512), (768, 1024)]
        images = [one_picture(*shapes[number % len(shapes)], seed=number) for number in range(count)]
        for number, image in enumerate(images):
            Image.fromarray(image).save(os.path.join(folder, f"{number:03d}.png"))
        groups = collections.defaultdict(list)
        for image in images:
            groups[image.shape].append(image)
        batches = []
        for (height, width, _), group in groups.items():
            size = alone.batch(height, width)
            batches += [np.stack(group[at : at + size]) for at in range(0, len(group), size)]

        def network_alone():
            for batch in batches:
                alone.whole([batch])[0]["ids"].numpy()

        def from_files(overlays: bool):
            changed = dataclasses.replace(config, predict=Predict(overlays=overlays))
            predict_with(alone, folder, os.path.join(folder, "out"), model, changed)

        pixels = sum(image.shape[0] * image.shape[1] for image in images)
        print(f"\n{count} PNG files of {len(shapes)} sizes, {pixels / 1e6:.1f} MP in all")
        kinds = {"masks alone": lambda: from_files(False), "masks and overlays": lambda: from_files(True)}
        network_alone()
        for name, run in kinds.items():
            run()
            found = []
            for _ in range(rounds):
                mine, alone_times = timed(run), timed(network_alone)
                found.append((alone_times[0] / mine[0], alone_times[1] / mine[1], pixels / 1e6 / mine[0]))
            wall, used, rate = (statistics.median(column) for column in zip(*found, strict=True))
            ratios = f"{wall:.2f} of the network alone by the clock, {used:.2f} by processor time"
            print(f"  {name:<20} {ratios}; {rate:.2f} MP/s", flush=True)


def predict_with(compiled: Network, folder: str, output: str, model, config) -> None:
    """`predict`, with a network that is compiled already, as that of the other side is."""
    failures = predict_paths(model, [folder], output, config, network=compiled)
    assert not failures, failures


def sizes(model, config, rounds: int, most: float) -> None:
    """Every size against 1024 x 1024."""
    network = Network(model, config)
    print(f"\nPixels a second of processor time, of those at 1024 x 1024 ({network.plan.reason})")

    def through(image):
        height, width = image.shape[:2]
        if network.fits_whole(height, width):
            network.whole([image[None]])[0]["ids"].numpy()
        else:
            for _ in strips(network, lambda top, bottom, left, right: image[top:bottom, left:right], height, width):
                pass

    square = mosaic(1024, 1024)
    through(square)
    for height, width in SIZES:
        megapixels = height * width / 1e6
        if megapixels > most:
            continue
        image, found = mosaic(height, width), []
        through(image)
        for _ in range(max(1, min(rounds, round(20 / megapixels)))):
            reference, used = timed(lambda: through(square))[1], timed(lambda image=image: through(image))[1]
            found.append(megapixels / used / (square.shape[0] * square.shape[1] / 1e6 / reference))
        down, across = (axis.side for axis in network.axes(height, width))
        how = "whole" if network.fits_whole(height, width) else f"tiles of {down} x {across}"
        print(
            f"  {height:>5} x {width:<5} {statistics.median(found):.2f}  {megapixels / used:.2f} MP/s  {how}",
            flush=True,
        )


def validation() -> list[tuple[np.ndarray, np.ndarray]]:
    """Images, and where nuclei are in them."""
    with open(os.path.join(nuclei.NUCLEI, "val.txt"), encoding="utf-8") as file:
        names = [os.path.splitext(line)[0] for line in file.read().split()]
    found = []
    for name in names:
        image, mask = (Image.open(os.path.join(nuclei.NUCLEI, kind, name + ".png")) for kind in ("images", "masks"))
        found.append((np.asarray(image.convert("RGB")), np.asarray(mask.convert("L")) > 0))
    return found


def laid_out(known, side: int, shift: tuple[int, int], random: np.random.Generator):
    """Known images in rows, in any order, turned and mirrored: rows as high as one image, each filled from the left.

    Returns:
      uint8 `[side, side, 3]`, and (rows, columns, image, label) of each image that is whole in it.
    """
    made, placed, top = np.zeros([side, side, 3], np.uint8), [], -shift[0]
    heights = sorted({image.shape[0] for image, _ in known})
    while top < side:
        height, left = heights[random.integers(len(heights))], -shift[1]
        row = [pair for pair in known if pair[0].shape[0] == height]
        order: list[int] = []
        while left < side:
            order = order or random.permutation(len(row)).tolist()
            image, label = row[order.pop()]
            steps = [2 * int(random.integers(2)), *random.integers(2, size=2).tolist()]
            image, label = (turned(part, *steps) for part in (image, label))
            bottom, right = top + image.shape[0], left + image.shape[1]
            rows, columns = slice(max(top, 0), min(bottom, side)), slice(max(left, 0), min(right, side))
            part = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
            made[rows, columns] = image[part]
            if top >= 0 and left >= 0 and bottom <= side and right <= side:
                placed.append((rows, columns, image, label))
            left = right
        top = bottom
    return made, placed


def turned(part: np.ndarray, quarters: int, across: int, down: int) -> np.ndarray:
    part = np.rot90(part, quarters)
    return np.ascontiguousarray(part[:: -1 if down else 1, :: -1 if across else 1])


def mosaics(model, config, most: float) -> None:
    """Known images alone and in one picture."""
    kinds = {"taken apart": True, "as one picture": False}
    networks = {
        kind: Network(model, dataclasses.replace(config, evaluate=dataclasses.replace(config.evaluate, seams=seams)))
        for kind, seams in kinds.items()
    }
    known = validation()
    square = [(image, label) for image, label in known if image.shape[:2] == (256, 256)]
    layouts = {
        "1024 x 1024, of 256 x 256": (square, 1024, (0, 0)),
        "4096 x 4096, of 256 x 256": (square, 4096, (0, 0)),
        "4096 x 4096, of 256 x 256, the first cut to 156 x 196": (square, 4096, (100, 60)),
        "4096 x 4096, of three sizes": (known, 4096, (0, 0)),
    }
    print("\nMean Dice of known images alone, and in one picture")
    for layout, (images, side, shift) in layouts.items():
        if side**2 / 1e6 > most:
            continue
        picture, placed = laid_out(images, side, shift, np.random.default_rng(0))
        alone = [dice(through(networks["as one picture"], image), label) for *_, image, label in placed]
        print(f"  {layout}: {len(placed)} images, alone {np.mean(alone):.4f}")
        for kind, network in networks.items():
            start = time.process_time()
            pictures = network.pictures(picture)
            looked = time.process_time() - start
            ids = through(network, picture)
            used = time.process_time() - start
            scores = [dice(ids[rows, columns], label) for rows, columns, _, label in placed]
            print(
                f"    {kind:<15} {np.mean(scores):.4f} ({np.mean(scores) - np.mean(alone):+.4f}), {len(pictures)} "
                f"pictures, {used:.1f} s of processor time, of them {looked:.2f} in search of seams",
                flush=True,
            )


def through(network: Network, image: np.ndarray) -> np.ndarray:
    """Class ids of one image."""
    pictures = network.pictures(image)
    height, width = image.shape[:2]
    if len(pictures) > 1:
        parts = strips_of_pictures(network, image, pictures)
    elif network.fits_whole(height, width):
        return network.whole([image[None]])[0]["ids"].numpy()[0]
    else:
        parts = strips(network, lambda top, bottom, left, right: image[top:bottom, left:right], height, width)
    return np.concatenate([strip.ids for strip in parts])


def dice(ids: np.ndarray, label: np.ndarray) -> float:
    return 2 * float(((ids == 1) & label).sum()) / max(float((ids == 1).sum() + label.sum()), 1)


def memory(workdir: str, most: float) -> None:
    """The largest resident set of a process that predicts one file."""
    print("\nLargest resident set of a process that predicts one PNG, and what of it are the image and its mask")
    with tempfile.TemporaryDirectory() as folder:
        for height, width in MEMORY:
            if height * width / 1e6 > most:
                continue
            path = os.path.join(folder, "image.png")
            Image.fromarray(one_picture(height, width)).save(path, compress_level=1)
            command = [sys.executable, "-m", "benchmarks.predict", f"--one={path}", f"--workdir={workdir}"]
            peak = int(
                subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout.split()[-1]
            )
            print(
                f"  {height:>5} x {width:<5} {peak / 2**20:,.0f} MiB, {height * width * 4 / 2**20:,.0f} of them",
                flush=True,
            )


def one_file(path: str, workdir: str) -> int:
    model, config = network(workdir)
    with tempfile.TemporaryDirectory() as folder:
        assert not predict_paths(model, [path], folder, config)
    scale = 1 if sys.platform == "darwin" else 1024
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale)
    return 0


if __name__ == "__main__":
    sys.exit(main())
