"""Do patches of large volumes keep up with a step of one second? From files whose pages are not in memory.

    python -m benchmarks.volumes                 # some minutes, 1.5 GB of disk for the time being

Cases of 512 x 512 x 200 voxels (200 MiB prepared) are made, prepared and mapped; before each batch their pages are
given back to the disk. Printed: processor time and wall time of a batch of two patches with every augmentation on; and
the share of the time that steps of one second, which keep all processors busy, wait for the pipeline, which makes its
batches meanwhile, from the disk. Other programs on the machine lengthen wall time, and the waiting.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time

from trainer.process import prepare

prepare()

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from configs.schema import Augment, Config, Data, Train  # noqa: E402
from trainer.data import open_data  # noqa: E402
from trainer.data.pipeline import batches_ahead, make_batch, training_batches  # noqa: E402
from trainer.stepping.waiting_for_data import Waiting  # noqa: E402


def _write_cases(folder: str, cases: int, shape: tuple[int, int, int]) -> None:
    import nibabel

    for number in range(cases):
        random = np.random.default_rng(number)
        small = random.integers(-1000, 1000, [side // 8 for side in shape]).astype(np.int16)
        image = small.repeat(8, 0).repeat(8, 1).repeat(8, 2)
        label = (image > 900).astype(np.uint8)
        for kind, array in (("images", image), ("labels", label)):
            os.makedirs(os.path.join(folder, kind), exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(array, np.diag([0.8, 0.8, 2.0, 1.0])), f"{folder}/{kind}/{number}.nii")


def _forget(folder: str) -> None:
    """Gives the pages of a folder's files back to the disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            handle = os.open(os.path.join(parent, name), os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def _step(seconds: float) -> None:
    """Keeps all processors busy for so long."""
    square, end = tf.ones((1024, 1024)), time.perf_counter() + seconds
    while time.perf_counter() < end:
        tf.linalg.matmul(square, square).numpy()


def _waiting(opened, config: Config, kept: str, steps: int, seconds: float) -> tuple[float, float]:
    """The share of the time that steps wait for their batches, and the seconds that a step took on the whole."""
    waiting, ahead = Waiting(), batches_ahead(config)
    batches = iter(training_batches(opened.train, config, start_step=0, steps=ahead + steps))
    # What is there ahead is not waited for, and says nothing of the pipeline.
    for _ in range(ahead):
        next(batches)
        _step(seconds)
    started = time.perf_counter()
    for _ in range(steps):
        opened.train._mapped.clear()
        _forget(kept)
        waiting.next(batches)
        _step(seconds)
    took = time.perf_counter() - started
    return waiting.since_last() / took, took / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=4)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--step", type=float, default=1.0, help="seconds of a step (default 1)")
    parser.add_argument("--crop", type=int, nargs=3, default=(64, 128, 128))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _write_cases(folder, given.cases, (512, 512, 200))
        kept = os.path.join(folder, "kept")
        augment = Augment(
            crop=tuple(given.crop), rotate=30.0, gamma=0.5, noise=0.3, blur=1.0, coarsen=2.0, foreground=0.33
        )
        data = Data(source="volumes", path=folder, cache_mib=0, cache_path=kept)
        opened = open_data(Config(data=data, augment=augment, train=Train(batch_size=2)))
        config = opened.config
        start = time.process_time()
        opened.train.prepare(stop=True)
        print(f"prepared in {(time.process_time() - start) / len(opened.train):.1f} s of processor time a case")
        measured: dict[str, list[tuple[float, float]]] = {"pages on the disk": [], "pages in memory": []}
        for number in range(given.batches):
            for what, times in measured.items():
                if what == "pages on the disk":
                    opened.train._mapped.clear()
                    _forget(kept)
                wall, processor = time.perf_counter(), time.process_time()
                make_batch(opened.train, config, range(2 * number, 2 * number + 2))
                times.append((time.perf_counter() - wall, time.process_time() - processor))
        for what, times in measured.items():
            wall, processor = (statistics.median(part) for part in zip(*times, strict=True))
            longest = max(wall for wall, _ in times)
            print(
                f"{what:<18} a batch of two: {processor:.2f} s of processor, {wall:.2f} s wall, at most {longest:.2f}"
            )
        share, took = _waiting(opened, config, kept, given.batches, given.step)
        print(f"steps of {given.step:g} s wait for their batches in {share:.1%} of the time; one takes {took:.2f} s so")


if __name__ == "__main__":
    main()
