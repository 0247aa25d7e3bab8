"""Prediction of image files: for each a mask of class ids and an overlay for viewing, in the image's own size.

    <output>/masks/<name>.png      palette PNG: a pixel's value is its class id, the palette makes it visible; for
                                   classes that overlap in the form in which they were read, see `overlapping`
    <output>/overlays/<name>.jpg   the image with the classes' colours over it

and the further files of `trainer.prediction.outputs`. `<name>` is the image's path below the folder it was found in,
without its extension, so that masks/ can be used as the masks of your own data set. If two images had the same name, as
much of their paths is added as distinguishes them. An image that is displayed turned (EXIF orientation) is predicted,
and written, as it is displayed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence

import numpy as np

from configs.schema import Config
from trainer.distribution.strategy import Devices
from trainer.prediction.files import Done, predict_files
from trainer.prediction.inputs import Failure, find_images, output_names
from trainer.prediction.network import Network
from trainer.prediction.outputs import Outputs
from trainer.prediction.postprocessing import PostProcessing
from trainer.reporting.memory.out_of_memory import is_out_of_memory, smaller_tile
from trainer.reporting.progress import Progress

# Up to this many images have a line each.
_LINES = 100


def predict_paths(
    model,
    inputs: Sequence[str],
    output_dir: str,
    config: Config,
    *,
    devices: Devices | None = None,
    network: Network | None = None,
    postprocessing: PostProcessing | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> list[Failure]:
    """Predicts every image that can be read.

    Args:
      model: float32 images `[1, height, width, channels]`, 0..255, to logits `[1, height, width, outputs]`.
      inputs: files, folders (searched with their subfolders) and glob patterns (`**` for any depth).
      output_dir: the folder for masks/ and overlays/, or that masks/ itself; created if necessary. Files in it are
        never inputs from a folder.
      config: `data`, `model`, `predict` and `evaluate.tile` are read.
      devices: their replicas and workers share the files; each worker has to call this with the same files.
      network: the model already compiled with the same options; None compiles it.
      postprocessing: that of the masks.
      report: called with a line for each finished image, or now and then if there are many, and at the end for each
        failure.

    Returns:
      The inputs that failed, in their order, on all workers; empty if there are none.

    Raises:
      OSError: the output cannot be written.
    """
    paths, failures = find_images(inputs, output_dir, report)
    # --output=masks/ means that folder, not masks/masks/.
    base = os.path.normpath(output_dir)
    base = os.path.dirname(base) if os.path.basename(base) == "masks" else base
    outputs = Outputs(base, config.data, config.predict)
    written = tuple(os.path.realpath(os.path.join(base, name)) + os.sep for name in ("overlays", "probabilities"))
    paths = {path: name for path, name in paths.items() if not os.path.realpath(path).startswith(written)}
    worker, workers = (devices.worker, devices.workers) if devices is not None else (0, 1)
    items = list(output_names(paths).items())[worker::workers]
    there = [path for path, name in items if config.predict.skip_existing and outputs.exist(name)]
    items = [(path, name) for path, name in items if path not in set(there)]
    if there:
        report(f"{len(there)} done already: left out (predict.skip_existing)")
    network = network or Network(
        model,
        config,
        devices.strategy if devices is not None and devices.local_replicas > 1 else None,
        mirror=config.predict.mirror,
        with_probabilities=config.predict.probabilities != "none",
        cuts=postprocessing.cuts if postprocessing is not None else (),
    )
    start, done, pixels, progress = time.monotonic(), 0, 0, Progress("predicted", report)
    own: list[Failure] = []

    def finished(image: Done) -> None:
        nonlocal done, pixels
        if image.written is None:
            own.append(Failure(image.path, _reason(image, config)))
            return
        done, pixels = done + 1, pixels + image.pixels
        if len(items) <= _LINES:
            cut = "  in tiles" if 0 < network.plan.whole < image.pixels else ""
            cut = f"  taken apart at its seams, {image.pictures} pictures" if image.pictures > 1 else cut
            far = f", every {_ordinal(image.written.step)} pixel in the overlay" if image.written.step > 1 else ""
            shown = shares(image.written.counts, image.pixels, config.data.classes)
            report(f"{image.path} -> {image.written.mask}  {shown}{cut}{far}")

    def moved(now: int, expected: int) -> None:
        progress(done, len(items), pixels=now, expected=expected)

    trouble = None
    try:
        predict_files(network, items, outputs, config, postprocessing=postprocessing, done=finished, moved=moved)
    except OSError as error:
        if workers == 1:
            raise
        # The other workers wait at the end.
        trouble = error
        own.append(Failure(outputs.folder, f"cannot be written: {error}"))
    seconds = time.monotonic() - start
    if workers > 1:
        own = _of_all_workers(own, devices)
        done, pixels, skipped = (int(devices.sum_over_workers(n)) for n in (done, pixels, len(there)))
    else:
        skipped = len(there)
    order = {path: number for number, path in enumerate(paths)}
    failures += sorted(own, key=lambda failure: order.get(failure.path, len(order)))
    for failure in failures:
        report(f"not predicted: {failure}")
    beside = [f"{name}/" for name in ("overlays", "probabilities") if _wanted(name, config)]
    also = f" and {' and '.join(beside)} beside it" if beside else ""
    speed = f", {pixels / 1e6 / seconds:.1f} MP/s" if pixels > 1e6 and seconds > 1 else ""
    before = f", {skipped} before" if skipped else ""
    total = done + skipped + len(failures)
    report(f"{done} of {total} done{before}{speed}: {os.path.join(base, 'masks')}{also}")
    if trouble is not None:
        raise trouble
    return failures


def _wanted(name: str, config: Config) -> bool:
    return config.predict.overlays if name == "overlays" else config.predict.probabilities != "none"


def _ordinal(number: int) -> str:
    return {1: "", 2: "second", 3: "third"}.get(number, f"{number}th")


def _reason(image: Done, config: Config) -> str:
    if not is_out_of_memory(image.trouble):
        return str(image.trouble)
    tile = config.evaluate.tile
    how = f"in tiles of {tile[0]} x {tile[1]}" if any(tile) else "as they were taken"
    return (
        f"{image.pixels:,} pixels {how} do not fit in memory. In smaller tiles they may: "
        f"--config.evaluate.tile={smaller_tile(config)}"
    )


def _of_all_workers(own: list[Failure], devices: Devices) -> list[Failure]:
    """All workers' failures, on every worker: bytes of text, each worker's at its own position, added up."""
    text = json.dumps([(failure.path, failure.reason) for failure in own]).encode()
    lengths = np.zeros([devices.workers], np.float64)
    lengths[devices.worker] = len(text)
    ends = np.cumsum(devices.sum_over_workers(lengths)).astype(int)
    numbers = np.zeros([ends[-1]], np.float64)
    numbers[ends[devices.worker] - len(text) : ends[devices.worker]] = np.frombuffer(text, np.uint8)
    everything = devices.sum_over_workers(numbers).astype(np.uint8).tobytes()
    parts = [everything[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
    return [Failure(*failure) for part in parts for failure in json.loads(part.decode())]


def shares(counts: np.ndarray, pixels: int, classes: Sequence[str]) -> str:
    """The share of each class that occurs, largest first: "background 91.2 %, nucleus 8.8 %"."""
    order = np.argsort(-counts, kind="stable")
    return ", ".join(f"{classes[i]} {100 * counts[i] / pixels:.1f} %" for i in order if counts[i]) or "no class"
