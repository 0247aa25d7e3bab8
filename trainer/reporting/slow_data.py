"""The hint for a run whose steps wait for data: which part of the pipeline is slow, and what to change."""

from __future__ import annotations

import math
import os

from trainer.reporting.memory.out_of_memory import size_of

# Share of the time above which the hint is logged.
MUCH = 0.1
_LOOKED_AT = 8


def hint(run, share: float) -> str:
    """A line with the measurements, and a line for each change that fits this run."""
    lines = "".join(f"\n    {line}" for line in advice(run))
    return (
        f"hint: the step waits for data in {share:.0%} of the time: decoding and augmenting are slower than the "
        f"training step.{lines}\n  Alone and together: python -m benchmarks.pipeline with the same flags."
    )


def advice(run) -> list[str]:
    """Flags and what they change, the most promising first."""
    config, source = run.config, run.data.train
    cores, found = os.cpu_count() or 1, []
    if source.stream is not None:
        return [
            "the tf.data.Dataset passed: .cache() after decoding, .map(…, num_parallel_calls=tf.data.AUTOTUNE)",
            "arrays, files, or an object with len() and [i] in its place: these are read in parallel and kept",
        ]
    example = _example(source)
    whole = example.nbytes * source.length if example is not None and source.length else 0
    if source.caches and whole > config.data.cache_mib * 2**20:
        needed = math.ceil(whole / 2**20 * 1.1)
        found.append(
            f"--config.data.cache_mib={needed}  keeps all decoded images, about {size_of(whole)}; files are "
            "decoded each time now"
        )
    if example is not None:
        pixels = math.prod(example.size)
        crop = math.prod(config.augment.crop)
        if pixels > 16 * crop and whole > config.data.cache_mib * 2**20:
            height, width = example.size
            found.append(
                f"smaller image files: of {width} x {height} pixels a crop takes {config.augment.crop[1]} x "
                f"{config.augment.crop[0]}, and all are decoded; cut them into tiles once"
            )
    if 0 < config.data.workers < cores:
        found.append(f"--config.data.workers=0  lets tf.data choose; now {config.data.workers} of {cores} processors")
    if cores > 2 and config.data.processes < cores:
        more = min(cores - 1, max(2, 2 * config.data.processes))
        found.append(f"--config.data.processes={more}  makes batches in processes of their own, the same batches")
    if source.functions:
        names = ", ".join(getattr(f, "__name__", type(f).__name__) for f in source.functions)
        found.append(f"less in your own augmentation ({names})")
    if cores <= 2:
        found.append("more processors: the pipeline and the step share these two" if cores == 2 else "more processors")
    return found


def _example(source):
    return next(
        (source.load_compact(i) for i in range(min(source.length or 0, _LOOKED_AT)) if not source.why_unusable(i)), None
    )
