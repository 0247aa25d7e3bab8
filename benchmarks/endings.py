"""Does the process end, however a run ends while batches are being made ahead?

    python -m benchmarks.endings                                   # 50 runs that meet a bad file, 10 of each other way
    python -m benchmarks.endings --ways=signal --bad=0 --others=3

Each run is `python main.py` on a folder of small pictures, without a cache, so that its threads read and augment from
the first step to the last. It ends by a file found bad while training (ids in a JPEG mask, a PNG that is cut off), by
SIGTERM at a random moment, by an action's reason to stop, or by an exception of the user's in a loss, an augmentation
or an action. A run that has not ended after `--patience` seconds hangs: it is killed and counted. Exits with 0 where
all runs ended by themselves with the code that belongs to their way.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from benchmarks.lives import Life  # noqa: E402
from trainer.errors import EXIT_FAILED, EXIT_OK, EXIT_RESUMABLE, EXIT_USAGE  # noqa: E402

_STEPS = 400
_OWN = """
import os
import keras
import tensorflow as tf

def stop(run, step):
    return "seen enough"

def fail(run, step):
    raise KeyError("the user's")

def loss(y_true, y_pred):
    def late(value):
        late.calls = getattr(late, "calls", 0) + 1
        if late.calls > 20:
            raise RuntimeError("the user's")
        return value
    value = tf.reduce_mean(keras.losses.categorical_crossentropy(y_true, y_pred, from_logits=True))
    return value + 0 * tf.stop_gradient(tf.numpy_function(late, [tf.stop_gradient(value)], tf.float32))

def augment(example, random):
    if random.uniform() < 0.01:
        raise ValueError("the user's")
    return example
"""
# What ends the run -> (flags, the exit code, words of its message). The traceback of what is not the program's own
# exception is the user's to see; it comes with Python's code for one.
WAYS = {
    "bad mask": ([], EXIT_USAGE, "JPEG"),
    "bad image": ([], EXIT_USAGE, "does not decode"),
    "signal": ([], EXIT_RESUMABLE, "Stopped at step"),
    "action": (["--config.train.actions=25 steps: endings_own:stop"], EXIT_OK, "seen enough"),
    "loss": (["--config.loss.name=endings_own:loss"], EXIT_FAILED, "the user's"),
    "augmentation": (["--config.augment.functions=endings_own:augment"], EXIT_USAGE, "the user's"),
    "action's exception": (["--config.train.actions=25 steps: endings_own:fail"], EXIT_FAILED, "the user's"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--bad", type=int, default=50, help="runs that meet a bad file (default 50)")
    parser.add_argument("--others", type=int, default=10, help="runs of each other way (default 10)")
    parser.add_argument("--ways", default="", help=f"some of: {', '.join(WAYS)}")
    parser.add_argument("--patience", type=float, default=120, help="seconds after which a run hangs (default 120)")
    parser.add_argument("--seed", type=int, default=0, help="of the pictures and the moments; another one, other runs")
    options = parser.parse_args()
    ways = [way.strip() for way in options.ways.split(",")] if options.ways else list(WAYS)
    draw, failed = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "endings_own.py").write_text(_OWN, encoding="utf-8")
        os.environ["PYTHONPATH"] = folder
        for way in ways:
            # The bad files come in two kinds, which share their number.
            runs = (options.bad + (way == "bad mask")) // 2 if way.startswith("bad") else options.others
            failed += _repeat(way, range(options.seed, options.seed + runs), folder, draw, options.patience)
    return 1 if failed else 0


def _repeat(way: str, runs: range, folder: str, draw: random.Random, patience: float) -> int:
    """Runs one way again and again, prints what came, and returns how many were not as they should be."""
    flags, code, words = WAYS[way]
    found, wrong = collections.Counter(), 0
    for number in runs:
        data, workdir = os.path.join(folder, "data"), os.path.join(folder, f"{way} {number}".replace("'", ""))
        write_pictures(Path(data), way, number)
        life = Life(
            [sys.executable, os.path.join(ROOT, "main.py"), *_flags(data, workdir), *flags],
            workdir,
            os.path.join(folder, "log"),
            evaluate_every=_STEPS,
            forked=False,
        )
        if way == "signal":
            life.wait_for(life.trains, patience)
            time.sleep(draw.uniform(0, 0.3))
            life.send(signal.SIGTERM)
        life.wait_for(lambda: False, patience)
        hangs = life.running()
        life.send(signal.SIGKILL)
        ended = "hangs" if hangs else life.wait()
        if hangs:
            life.wait()
        found[ended] += 1
        if ended != code or words not in life.output():
            wrong += 1
            print(f"  {way}, run {number}: {ended} instead of {code}\n{life.output()[-3000:]}", flush=True)
    codes = ", ".join(f"{ended} x {count}" for ended, count in found.items())
    print(f"{way:<20} {len(runs) - wrong} of {len(runs)} ended as they should (exit codes {codes})", flush=True)
    return wrong


def _flags(data: str, workdir: str) -> list[str]:
    return [
        f"--workdir={workdir}",
        "--config.data.source=folder",
        f"--config.data.path={data}",
        "--config.data.mask_encoding=ids",
        "--config.data.classes=background,one,two",
        "--config.data.cache_mib=0",
        "--config.model.width=4",
        "--config.model.depth=1",
        "--config.augment.crop=32,32",
        "--config.train.batch_size=4",
        f"--config.train.length={_STEPS} steps",
        "--config.train.log_every=4 steps",
        f"--config.evaluate.every={_STEPS} steps",
        "--config.evaluate.panels=0",
    ]


def write_pictures(folder: Path, way: str, number: int, count: int = 60) -> None:
    """Pictures with masks of ids; one of a training image is spoilt where that is the way."""
    draws = np.random.default_rng(number)
    for part, pairs in (("train", count), ("val", 4)):
        for kind in ("images", "masks"):
            place = folder / part / kind
            place.mkdir(parents=True, exist_ok=True)
            for old in place.iterdir():
                old.unlink()
        for index in range(pairs):
            label = np.zeros((64, 64), np.uint8)
            label[draws.integers(0, 40) :][:24, draws.integers(0, 40) :][:, :24] = 1 + index % 2
            image = (draws.normal(90, 20, (64, 64, 3)) + 50 * label[:, :, None]).clip(0, 255).astype(np.uint8)
            Image.fromarray(image).save(folder / part / "images" / f"{index}.png")
            Image.fromarray(label).save(folder / part / "masks" / f"{index}.png")
    spoilt = int(draws.integers(0, count))
    if way == "bad mask":
        path = folder / "train" / "masks" / f"{spoilt}.png"
        noise = draws.integers(0, 3, (64, 64)).astype(np.uint8)
        path.unlink()
        Image.fromarray(noise * 40).save(path.with_suffix(".jpg"), quality=60)
    elif way == "bad image":
        path = folder / "train" / "images" / f"{spoilt}.png"
        path.write_bytes(path.read_bytes()[:-2000])


if __name__ == "__main__":
    sys.exit(main())
