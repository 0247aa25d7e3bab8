"""Width, batch, crop and length for the available time and memory, after timing some steps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence, Set

import numpy as np

from configs.reading import fields
from configs.schema import Config
from trainer.plan import volumes
from trainer.plan.choice import Choice, size, with_choices
from trainer.plan.fingerprint import Fingerprint
from trainer.plan.probe import Measured

# By the number of axes: fewer steps are too few for the rate to fall. Not more than that: on aerial tiles
# 250 steps of eight crops of 192 at width 16 were better than 640 of crops of 144 at width 8, in the same time.
_FEWEST = {2: 200, 3: 600}
# Width is only added beyond this many steps.
_MANY = 2000
# By the number of axes.
_LEAST_CROP = {2: 64, 3: 32}
# Bytes that a step holds for each pixel of a crop and channel of the first level: configs far beyond the memory are not
# tried. The chosen one has been measured.
_BYTES = 130
# A run of fewer steps is useless, however short the time.
_LEAST_STEPS = 50
_MEASUREMENTS = 4
# Share of the images without a class, on average over the classes.
_ABSENT = 0.05
# Another precision has to pay off.
_FASTER = 0.85
_WIDEST = 32
# Share of the time that evaluations may take.
_EVALUATIONS = 0.1


@dataclasses.dataclass(frozen=True)
class Budget:
    """Choices that follow from time and memory, and the last measurement."""

    choices: tuple[Choice, ...]
    measured: Measured
    steps: int


def budget(
    config: Config, found: Fingerprint, measure: Callable[[Config], Measured], fixed: Set[str] = frozenset()
) -> Budget:
    """Fits a config into `config.plan.minutes` and `config.plan.memory_gib`.

    Args:
      config: the config derived from the data.
      found: the fingerprint.
      measure: runs some steps of a config; called one to five times, and more if memory is short.
      fixed: fields that must not change.
    """
    seconds, memory = 60 * config.plan.minutes, config.plan.memory_gib
    if _shows_classes(found):
        fixed = fixed | {"train.batch_size"}
    ladder = _ladder(config, fixed)
    # Sizes that do not fit even with a single image are not tried.
    kept = [number for number, rung in enumerate(ladder) if _held(rung) <= memory * 2**30] or [len(ladder) - 1]
    rungs, wider = [ladder[number] for number in kept], sum(number < ladder.index(config) for number in kept)
    at = min(wider, len(rungs) - 1)
    seen = {at: measure(rungs[at])}
    precision = _precision(rungs[at], seen[at], measure) if "precision" not in fixed else None
    if precision is not None:
        choice, seen[at] = precision
        rungs = [with_choices(rung, [choice]) for rung in rungs]
    for _ in range(_MEASUREMENTS - 1):
        at = _rung(rungs, seen, seconds, wider=wider)
        if at in seen:
            break
        seen[at] = measure(rungs[at])
    else:
        # Measurements decide: the largest config that leaves enough steps, or the fastest.
        enough = [number for number, each in seen.items() if _steps(each, seconds) >= _FEWEST[found.rank]]
        at = min(enough, default=max(seen))
    fitted, measured = rungs[at], seen[at]
    while measured.memory > memory and (smaller := _less_memory(fitted, fixed)) is not None:
        fitted, measured = smaller, measure(smaller)
    steps = _steps(measured, seconds)
    out = [
        *([precision[0]] if precision else []),
        _width(fitted, measured, steps),
        _batch(fitted, found, measured, memory),
    ]
    if fitted.augment.crop != config.augment.crop:
        out.append(
            Choice(
                "augment.crop",
                fitted.augment.crop,
                f"{size(config.augment.crop)} was wanted, and is more than time or memory allow",
            )
        )
    if fitted.model.depth != config.model.depth:
        sides = size(side // 2**fitted.model.depth for side in fitted.augment.crop)
        flat = Choice("model.depth", fitted.model.depth, f"{sides} pixels are left of a crop at the bottom")
        out.append(flat if found.rank == 2 else volumes.depth(fitted))
    if fitted.train.micro_batches > 1:
        out.append(
            Choice(
                "train.accumulate",
                fitted.train.micro_batches,
                f"{measured.memory:.1f} GiB at the most with so many micro-batches; {memory:g} GiB were given",
            )
        )
    out += [*(_normalization(fitted, found) if found.rank == 2 else ()), *_length(config, measured, steps)]
    return Budget(tuple(out), measured, steps)


def _shows_classes(found: Fingerprint) -> bool:
    """Whether crops differ by the class that they show, as water and sand do: no class is the ground of all, or in all.

    Statistics of a batch of four such crops are those of four classes at random. On aerial tiles 250 steps of eight
    crops were better than 930 of four, which took longer.
    """
    absent = 1 - found.present.mean() / len(found.cases)
    return found.rank == 2 and 0 in found.foreground and absent > _ABSENT


def _steps(measured: Measured, seconds: float) -> int:
    left = (seconds - measured.start) * (1 - _EVALUATIONS) - measured.evaluation
    steps = max(left, 0.0) / measured.step
    return max(_LEAST_STEPS, int(float(f"{steps:.2g}")))


def _precision(config: Config, measured: Measured, measure: Callable[[Config], Measured]):
    """(the choice, the measurement) if bfloat16 makes a step considerably faster; otherwise None."""
    if not measured.bfloat16 or config.precision != "auto":
        return None
    half = measure(fields.replace(config, {"precision": "mixed_bfloat16"}))
    if half.step > _FASTER * measured.step:
        return None
    reason = f"a step takes {half.step:.2g} s so, and {measured.step:.2g} s in float32"
    return Choice("precision", "mixed_bfloat16", reason), half


def _ladder(config: Config, fixed: Set[str]) -> list[Config]:
    """Configs from the most expensive to the cheapest: wider than the given one, the given one, then smaller ones."""
    rungs = [config]
    while rungs[0].model.width < _WIDEST and "model.width" not in fixed:
        rungs.insert(0, fields.replace(rungs[0], {"model.width": rungs[0].model.width * 2}))
    while (smaller := _less_work(rungs[-1], fixed)) is not None:
        rungs.append(smaller)
    return rungs


def _rung(rungs: Sequence[Config], seen: Mapping[int, Measured], seconds: float, wider: int) -> int:
    """The first rung that is predicted to leave enough steps; otherwise the last.

    The time of a step is predicted from the measurements as a constant plus a share of the work; without the constant
    if there is only one.
    """
    work = np.array([_work(rung) for rung in rungs])
    times = {number: each.step for number, each in seen.items()}
    if len(times) == 1:
        ((number, time),) = times.items()
        constant, rate = 0.0, time / work[number]
    else:
        low, high = min(times, key=lambda n: work[n]), max(times, key=lambda n: work[n])
        rate = max((times[high] - times[low]) / (work[high] - work[low]), 1e-3 * times[low] / work[low])
        constant = max(times[low] - rate * work[low], 0.0)
    any_measured = next(iter(seen.values()))
    for number in range(len(rungs)):
        time = times.get(number, constant + rate * work[number])
        steps = _steps(dataclasses.replace(any_measured, step=time), seconds)
        if steps >= (_MANY if number < wider else _FEWEST[len(rungs[number].augment.crop)]):
            return number
    return len(rungs) - 1


def _work(config: Config) -> float:
    """Multiplications of a step, up to a factor."""
    # Between linear (once a pixel and channel) and quadratic (convolutions).
    return config.train.batch_size * math.prod(config.augment.crop) * config.model.width**1.6


def _less_work(config: Config, fixed: Set[str]) -> Config | None:
    """The next smaller config, in the order of the least loss of quality; None if there is none."""
    crop, width, batch = config.augment.crop, config.model.width, config.train.batch_size
    deep = len(crop) == 3
    for field, value, enough in (
        ("train.batch_size", 4, batch > 4),
        ("model.width", 16, width > 16),
        ("augment.crop", _smaller(crop), math.prod(crop) > (64**3 if deep else 144**2)),
        ("model.width", 8, width > 8),
        ("augment.crop", _smaller(crop), _smaller(crop) != tuple(crop)),
        ("train.batch_size", 2, batch > 2),
    ):
        if enough and field not in fixed:
            smaller = fields.replace(config, {field: value})
            return smaller if "model.depth" in fixed else with_choices(smaller, [_depth(smaller)])
    return None


def _depth(config: Config) -> Choice:
    if len(config.augment.crop) == 3:
        return volumes.depth(config)
    # The bottom of the network keeps eight pixels on each side.
    deepest = max(1, int(math.log2(min(config.augment.crop) / 8)))
    return Choice("model.depth", min(config.model.depth, deepest), "")


def _smaller(crop: Sequence[int]) -> tuple[int, ...]:
    """Three quarters of each side that can be halved, not below the least unless it already was."""
    least = _LEAST_CROP[len(crop)]
    if len(crop) == 2:
        return tuple(max(min(side, least), int(side * 0.75) // 16 * 16) for side in crop)
    return tuple(side if side <= least else max(least, int(side * 0.75) // 16 * 16) for side in crop)


def _held(config: Config) -> float:
    """Bytes of a step with one image at a time."""
    return _BYTES * math.prod(config.augment.crop) * config.model.width


def _less_memory(config: Config, fixed: Set[str]) -> Config | None:
    batch, accumulate = config.train.batch_size, config.train.micro_batches
    if accumulate < batch and "train.accumulate" not in fixed:
        return fields.replace(config, {"train.accumulate": accumulate * 2})
    return _less_work(config, fixed | {"train.batch_size"})


def _width(config: Config, measured: Measured, steps: int) -> Choice:
    return Choice(
        "model.width",
        config.model.width,
        f"a step takes {measured.step:.2g} s so, and {steps} of them fit into the time",
    )


def _batch(config: Config, found: Fingerprint, measured: Measured, memory: float) -> Choice:
    reason = f"{measured.memory:.1f} GiB at the most were measured; {found.examples} {found.images} to draw from"
    if _shows_classes(found):
        reason += "; not fewer, since crops differ by the class that they show"
    if measured.memory > memory:
        reason += f"; that is more than the {memory:g} GiB given, and nothing smaller is left to try"
    return Choice("train.batch_size", config.train.batch_size, reason)


def _normalization(config: Config, found: Fingerprint) -> list[Choice]:
    micro = config.train.batch_size // config.train.micro_batches
    whole = float(np.mean((found.sizes <= np.array(config.augment.crop)).all(axis=1)))
    if micro < (8 if _shows_classes(found) else 4):
        return [
            Choice("model.normalization", "group", f"statistics of {micro} images would be too uncertain for batch")
        ]
    reason = f"a crop holds the whole of {whole:.0%} of the images, so that training and evaluation see the same"
    if whole > 0.85 and micro <= 4:
        return [Choice("model.normalization", "group", reason)]
    if whole > 0.5 and config.model.input_scaling == "standardize":
        reason += "; images that differ as these do would disturb each other's batch statistics"
        return [Choice("model.normalization", "group", reason)]
    reason = f"{micro} images at a time; it does not depend on the share of an image that a crop or tile shows"
    return [Choice("model.normalization", "batch", reason)]


def _length(config: Config, measured: Measured, steps: int) -> list[Choice]:
    minutes = config.plan.minutes
    allowed = _EVALUATIONS * 60 * minutes / max(measured.evaluation, 1e-3)
    times = int(np.clip(allowed, 1, 10))
    every = {1: "100%", 2: "50%", 3: "34%", 4: "25%"}.get(times, "20%" if times < 10 else "10%")
    takes = (measured.start + measured.evaluation + steps * measured.step) / 60
    reason = f"{minutes:g} minutes by what was measured on this machine"
    if takes > 1.05 * minutes:
        reason = f"fewer steps are useless; they take {takes:.2g} minutes, more than the {minutes:g} that were given"
    elif steps < (fewest := _FEWEST[len(config.augment.crop)]):
        reason += f"; {fewest} and more would be better: --config.plan.minutes={math.ceil(fewest * takes / steps)}"
    # The last twenty-fifth of the run, when the rate has fallen.
    last = min(steps // 25, 1000)
    decay = round(1 - 1 / last, 4) if last >= 5 else 0.0
    return [
        Choice("train.length", f"{steps} steps", reason),
        Choice("evaluate.every", every, f"an evaluation takes some {measured.evaluation:.0f} s"),
        Choice(
            "optimizer.ema_decay",
            decay,
            f"averages the last {last} steps or so; scored and exported" if decay else "too few steps to average over",
        ),
    ]
