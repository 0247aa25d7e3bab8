"""The rules for volumes: spacing, intensities, patch, levels, directions.

Spacing and patch follow nnU-Net (Isensee et al. 2021, "nnU-Net: a self-configuring method for deep learning-based
biomedical image segmentation", Nature Methods 18): the median voxel, but thin slices where slices are thick; a patch as
near to a cube of millimetres as the volumes allow; pooling along an axis while its voxels are not twice as long.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from configs.reading.levels import levels
from configs.schema import Config, Data
from trainer.data.check.remarks import mirrored_pairs
from trainer.plan.choice import Choice, size, with_choices
from trainer.plan.fingerprint import FEWEST_CASES, Fingerprint

# nnU-Net's: an axis is thick if its voxels are this many times as long, and this many times fewer.
_THICK = 3.0
# The most voxels of a patch, and levels.
_VOXELS, _DEEPEST = 128**3, 5
# CT has air at -1000; a body cut out still has fat, at -100, and lung. No other scanner measures below 0.
_BELOW_WATER, _ABOVE_PADDING = -150.0, -3100.0
# A trend is trusted if its mean is this many standard errors from zero.
_CERTAIN = 5.0
# Each axis: its flip, its ends, and words that distinguish classes along it.
_UP = (("superior", "inferior"), ("upper", "lower"), ("cranial", "caudal"), ("top", "bottom"))
_FRONT = (("anterior", "posterior"), ("front", "rear"), ("front", "back"), ("ventral", "dorsal"))
_DIRECTIONS = (("flip_depth", "feet", "head", _UP), ("flip_vertical", "back", "front", _FRONT))


def preparation(found: Fingerprint, given: Data) -> list[Choice]:
    """The spacing for resampling and the scale of intensities, except fields in `given`."""
    out = [] if given.spacing else [_spacing(found)]
    return out + ([_normalize(found)] if given.normalize == ("auto",) else [])


def _spacing(found: Fingerprint) -> Choice:
    spacings = found.spacings
    target, voxels = np.median(spacings, axis=0), np.median(found.sizes, axis=0)
    low, high = size(spacings.min(axis=0)), size(spacings.max(axis=0))
    seen = f"{low} mm in all volumes" if low == high else f"{low} to {high} mm"
    reason = f"depth x height x width of a voxel: the median of the training volumes ({seen})"
    worst = int(np.argmax(target))
    others = [axis for axis in range(len(target)) if axis != worst]
    if target[worst] > _THICK * target[others].max() and voxels[worst] * _THICK < voxels[others].min():
        thin = max(float(np.percentile(spacings[:, worst], 10)), float(target[others].max()))
        reason += (
            f"; slices are thick and few ({target[worst]:.3g} mm, {voxels[worst]:.0f} of them at the median), so along "
            f"them that of the thinnest tenth"
        )
        target[worst] = thin
    return Choice("data.spacing", tuple(float(f"{length:.6g}") for length in target), reason)


def _normalize(found: Fingerprint) -> Choice:
    words, reasons = [], []
    for channel in range(found.channels):
        lowest = np.array([case.levels[channel, 0] for case in found.cases])
        ct = (lowest < _BELOW_WATER) & (lowest > _ABOVE_PADDING)
        inside = np.array([case.inside[channel] for case in found.cases])
        inside = inside[np.isfinite(inside)]
        if ct.mean() >= 0.9:
            words.append("ct")
            reasons.append(
                f"Hounsfield units: the darkest 0.5 % are at {np.median(lowest):.0f}; clipped and scaled by the "
                "foreground of all training volumes"
            )
            continue
        words.append("z_score")
        spread = f"{inside.min():.3g} to {inside.max():.3g}" if len(inside) else "nowhere to be seen"
        reasons.append(
            f"no Hounsfield units, and the foreground's median is {spread} from volume to volume: each volume to mean "
            "0 and deviation 1"
        )
    numbered = [f"channel {number}: {reason}" for number, reason in enumerate(reasons)]
    return Choice("data.normalize", tuple(words), reasons[0] if len(reasons) == 1 else "; ".join(numbered))


def choices(found: Fingerprint, section: Data) -> list[Choice]:
    """Everything that follows from the data alone, for volumes prepared by `section`."""
    spacing = _known(found, section)
    sizes = found.sizes * found.spacings / spacing
    median = np.median(sizes, axis=0)
    crop = patch(median, spacing)
    covered = float(np.mean((sizes <= 1.25 * np.array(crop)).all(axis=1)))
    reason = f"volumes have {size(np.rint(median))} voxels at the median at this spacing"
    if math.prod(median) > _VOXELS:
        reason += f", and {_VOXELS:,} are the most of a patch"
    reason += "; multiples of 16 can be halved"
    out = [Choice("augment.crop", crop, reason)]
    out.append(depth(with_choices(Config(data=section), out)))
    out += [
        Choice("model.width", 16, "the start for time and memory, below"),
        Choice("model.most_channels", 320, "as in nnU-Net: deeper levels would cost more than they see"),
        Choice("model.normalization", "instance", "of two volumes batch statistics would be too uncertain"),
        Choice("model.upsampling", "transpose", "as in nnU-Net"),
        Choice("model.input_scaling", "none", "volumes come at one scale (data.normalize)"),
        Choice("train.batch_size", 2, "as nnU-Net has at the least: time goes into patches and steps"),
    ]
    out += [*_directions(found, section), *_intensities(section), *_loss(found, covered)]
    out.append(Choice("optimizer.learning_rate", 3e-3, "AdamW; it falls to 1 % along a cosine"))
    return out


def _known(found: Fingerprint, section: Data) -> np.ndarray:
    """The spacing, with the median for an axis that keeps each volume's own."""
    median = np.median(found.spacings, axis=0)
    return np.where(section.spacing, section.spacing, median) if section.spacing else median


def patch(median: Sequence[float], spacing: Sequence[float]) -> tuple[int, ...]:
    """Sides of a patch: a cube in millimetres, no longer than the median volume, that can be halved some times."""
    median, spacing = np.asarray(median, float), np.asarray(spacing, float)
    low, high = 0.0, float((median * spacing).max())
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(median, middle / spacing).prod() <= _VOXELS else (low, middle)
    return tuple(halvable(side) for side in np.minimum(median, high / spacing))


def halvable(side: float) -> int:
    """The nearest multiple of 16, or for a short side of the largest power of 2 that fits twice."""
    of = next(of for of in (16, 8, 4, 2, 1) if side >= 2 * of or of == 1)
    return max(of, int(math.floor(side / of + 0.5)) * of)


def depth(config: Config) -> Choice:
    """As many levels as the patch can be halved, with the effect of each on the axes."""
    for number in range(_DEEPEST, 0, -1):
        rows = levels(with_choices(config, [Choice("model.depth", number, "")]))
        if all(max(row) > 1 for row in rows.strides) or number == 1:
            break
    bottom = size(side // of for side, of in zip(config.augment.crop, rows.multiples, strict=True))
    reason = f"{bottom} voxels are left of a patch at the bottom"
    if any(len(set(row)) > 1 for row in (*rows.strides, *rows.kernels)):
        shrinks, kernels = (", ".join(map(size, part)) for part in (rows.strides, rows.kernels))
        reason += f"; by the spacing and the patch levels shrink by {shrinks} and have kernels of {kernels}"
    return Choice("model.depth", number, reason)


def _directions(found: Fingerprint, section: Data) -> Iterator[Choice]:
    """Flips along axes without a direction. Bodies are nearly their own mirror image only from left to right."""
    scores, free = found.trend(), []
    what = ("brightness", *(repr(name) for name in found.classes))
    for axis, (name, first, last, words) in enumerate(_DIRECTIONS):
        strongest = int(np.abs(scores[axis]).argmax())
        score, pairs = float(scores[axis, strongest]), mirrored_pairs(section.classes, words)
        errors = f"{abs(score):.1f} standard errors"
        value = False
        if pairs:
            reason = _exchanged(pairs)
        elif len(found.cases) < FEWEST_CASES:
            reason = f"{len(found.cases)} volumes are too few to see whether {first} and {last} differ"
        elif abs(score) > _CERTAIN:
            toward = last if score > 0 else first
            reason = f"there is more of {what[strongest]} toward the {toward} in most volumes ({errors})"
        else:
            value = True
            reason = f"neither brightness nor a class prefers the {first} or the {last} (at most {errors})"
        free.append(value)
        yield Choice(f"augment.{name}", value, reason)
    pairs = mirrored_pairs(section.classes)
    free.append(not pairs)
    reason = _exchanged(pairs) if pairs else "bodies are nearly symmetric, and no class has a left and a right"
    yield Choice("augment.flip_horizontal", not pairs, reason)
    reason = "no axis has a direction" if all(free) else "an axis has a direction, or may have one"
    yield Choice("augment.quarter_turns", all(free), reason)
    if any(free):
        yield Choice("evaluate.mirror", True, "windows are seen mirrored as in training, and probabilities averaged")


def _exchanged(pairs: Sequence[str]) -> str:
    return f"the classes {', '.join(pairs)} would change places in a mirrored volume"


def _intensities(section: Data) -> Iterator[Choice]:
    ct = "ct" in section.normalize
    yield Choice("augment.gamma", 0.2 if ct else 0.3, "Hounsfield units agree" if ct else "scanners' contrasts differ")
    yield Choice("augment.noise", 0.1 if ct else 0.2, "as doses and coils differ; on a fifth of the patches")
    yield Choice("augment.rotate", 15.0, "degrees: patients lie differently; about a thick axis alone")


def _loss(found: Fingerprint, covered: float) -> Iterator[Choice]:
    share, whole = found.foreground_share, covered >= 0.5
    dice: dict = {} if len(found.foreground) == len(found.classes) else {"include_background": False}
    yield Choice("loss.name", "dice+cross_entropy", f"objects are on {share:.2%} of the voxels")
    reason = "the background's Dice says nothing" if dice else ""
    if not whole:
        dice["over"] = "batch"
        reason += f"{'; ' if reason else ''}over the batch, since a patch may hold next to nothing of a class"
    if dice:
        yield Choice("loss.options", {"dice": dice}, reason)
    if dice.get("include_background") is False:
        names = tuple(found.classes[number] for number in found.foreground)
        yield Choice("evaluate.classes", names, "the background is not scored")
    if not whole:
        reason = f"a patch holds {covered:.0%} of the volumes whole; a third of them is laid over a class, in turn"
        yield Choice("augment.foreground", 0.33, reason)
