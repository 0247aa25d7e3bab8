"""Recognises the meaning of mask files from many of them: two values, class ids, colours, or an alpha channel.

If only one reading is possible, it is taken and reported; several are listed with the flag for each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError
from trainer.data.masks.values import MaskValues

# At most this many colours have a meaning; a photograph, or JPEG's smear, has more.
_MOST_COLORS = 64
_MOST_IDS = 256
# How far JPEG moves a colour in flat areas; how far a colour of a PNG without mixtures may be from another, with at
# most one in _RARER of its pixels, to be taken for a trace of it.
_JPEG_NOISE, _COPIED_NOISE, _RARER = 32, 8, 20
# The share of all pixels below which another colour is a mixture; and the most that are examined.
_RARE, _MOST_LOOKED_AT = 1 / 500, 1000
# More values than this between two others are not classes but smeared edges.
_FEW = 8


@dataclasses.dataclass(frozen=True)
class Recognised:
    """fields: those of the data section that say it; notes: what was recognised and by what."""

    fields: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def recognise_masks(masks: Sequence[tuple[str, MaskValues]], data: Data, *, alone: bool = False) -> Recognised:
    """How to read mask files.

    Args:
      masks: (name, the file's values), of many.
      data: the config's section. mask_encoding "auto" leaves it open; "binary" leaves only the threshold open.
      alone: whether it is one mask of many, which may well hold a single class.

    Raises:
      DataError: several readings are possible, or none; lists them with the flag for each.
    """
    if data.mask_encoding in ("ids", "colors", "alpha") or (data.mask_encoding == "binary" and data.mask_threshold):
        return Recognised({})
    if data.mask_encoding == "auto":
        if data.mask_colors:
            return Recognised({"mask_encoding": "colors"})
        if data.mask_ids:
            return Recognised({"mask_encoding": "ids"})
        if all(mask.alpha is not None for _, mask in masks):
            found = _alpha([mask for _, mask in masks], data)
            if found:
                return found
        if any(mask.palette is None and mask.values.ndim == 3 for _, mask in masks) and _are_colored(masks):
            return _colors(masks, data)
    return _values(masks, data, alone)


def _are_colored(masks) -> bool:
    return any(m.values.ndim == 3 and (m.values != m.values[:, :, :1]).any() for _, m in masks)


def _alpha(masks: Sequence[MaskValues], data: Data) -> Recognised | None:
    """The alpha channel, where it holds more than the colours."""
    if not any(len(np.unique(mask.alpha)) > 1 for mask in masks):
        return None
    for mask in masks:
        values = mask.values if mask.values.ndim == 2 else mask.values.max(axis=2)
        levels = np.unique(values)
        # Painted where it is opaque, and black elsewhere: the colours alone are enough.
        if 1 < len(levels) <= _MOST_COLORS and not values[mask.alpha < 128].any():
            return None
    return Recognised(
        {"mask_encoding": "alpha", **_named(data)},
        ("the masks are in the alpha channel: opaque is class 1, transparent class 0",),
    )


def _colors(masks, data: Data) -> Recognised:
    counts: dict[tuple[int, int, int], int] = {}
    for _, mask in masks:
        values = mask.values if mask.values.ndim == 3 else np.repeat(mask.values[:, :, None], 3, axis=2)
        found, pixels = np.unique(values.reshape(-1, 3), axis=0, return_counts=True)
        for color, count in zip(map(tuple, found.tolist()), pixels.tolist(), strict=True):
            counts[color] = counts.get(color, 0) + count
    jpeg = any(mask.format in ("JPEG", "MPO") for _, mask in masks)
    counts, noise = _without_noise(counts, jpeg, masks[0][0], data)
    tolerance: dict[str, Any] = {"color_tolerance": noise} if noise else {}
    traces = f", and others within {noise} of them, as JPEG leaves them, which are taken for them" if noise else ""
    if len(counts) == 2 and (0, 0, 0) in counts and len(data.classes) in (0, 2):
        other = next(color for color in counts if any(color))
        return _of_two(f"black and {_hex(other)}{traces}", data, (max(other) + 1) // 2)
    void = {(224, 224, 192): "Pascal VOC's border"} if len(counts) > 2 else {}
    ordered = sorted((c for c in counts if c not in void), key=lambda c: (any(c), -counts[c], c))
    if data.classes and len(data.classes) != len(ordered):
        rows = ", ".join(f"({c[0]}, {c[1]}, {c[2]}, …)" for c in ordered[:8]) + (", …" if ordered[8:] else "")
        raise DataError(
            f"The masks have {len(ordered)} colours, and data.classes names {len(data.classes)}: {_shares(counts)}.\n"
            f"  Say which is which:\n    --config.data.mask_encoding=colors --config.data.mask_colors='({rows})'   "
            "# red, green, blue, class id"
        )
    if data.classes:
        raise DataError(
            f"The masks have {len(ordered)} colours, and which class each is cannot be known: {_shares(counts)}.\n"
            "  Say it:\n"
            "    --config.data.mask_encoding=colors --config.data.mask_colors='("
            + ", ".join(f"({c[0]}, {c[1]}, {c[2]}, {n})" for n, c in enumerate(ordered))
            + ")'   # red, green, blue, class id"
        )
    names = tuple("background" if not any(c) else f"color_{_hex(c)[1:]}" for c in ordered)
    table = [(*c, n) for n, c in enumerate(ordered)] + [(*c, data.void_id) for c in void if c in counts]
    voided = "".join(f"; {_hex(c)} ({why}) is void" for c, why in void.items() if c in counts)
    return Recognised(
        {"mask_encoding": "colors", "mask_colors": tuple(table), "classes": names, **tolerance},
        (f"the masks have {len(ordered)} colours, a class each: {_shares(counts)}{traces}{voided}",),
    )


def _without_noise(
    counts: dict[tuple[int, int, int], int], jpeg: bool, name: str, data: Data
) -> tuple[dict[tuple[int, int, int], int], int]:
    """The painted colours with their pixels, and how far those made by compression are from them.

    Raises:
      DataError: there are also colours between them, or too many altogether.
    """
    lossy = jpeg or len(counts) > _MOST_COLORS
    far, rarer = (_JPEG_NOISE, 1) if lossy else (_COPIED_NOISE, _RARER)
    total = sum(counts.values())
    most = sorted(counts, key=lambda color: -counts[color])
    painted: dict[tuple[int, int, int], int] = {}
    between, noise = 0, 0
    for color in most[:_MOST_LOOKED_AT]:
        near = [p for p in painted if max(abs(a - b) for a, b in zip(p, color, strict=True)) <= far]
        near = [p for p in near if painted[p] >= rarer * counts[color]]
        if near:
            closest = min(near, key=lambda p: sum((a - b) ** 2 for a, b in zip(p, color, strict=True)))
            painted[closest] += counts[color]
            noise = far
        elif counts[color] < total * _RARE and (noise or lossy):
            between += counts[color]
        else:
            painted[color] = counts[color]
    between += sum(counts[color] for color in most[_MOST_LOOKED_AT:])
    if len(painted) > _MOST_COLORS or between > 0.35 * total:
        raise DataError(
            f"{name} and others: the masks have {len(counts):,} colours. A mask has one colour a class: are these "
            "photographs or overlays? Or were they saved as JPEG or resized smoothly, which mixes colours along edges: "
            "save masks as PNG, and resize them to the nearest pixel."
        )
    two = len(painted) == 2 and (0, 0, 0) in painted and len(data.classes) in (0, 2)
    if two:
        return painted, noise or (far if between else 0)  # divided at half, for any colour between them
    if between and len(painted) > 1:
        ordered = sorted(painted, key=lambda c: (any(c), -painted[c], c))
        rows = ", ".join(f"({c[0]}, {c[1]}, {c[2]}, {n})" for n, c in enumerate(ordered))
        named = (
            ""
            if data.classes
            else " --config.data.classes="
            + ",".join("background" if not any(c) else f"color_{_hex(c)[1:]}" for c in ordered)
        )
        raise DataError(
            f"The masks have {len(counts):,} colours: {len(painted)} that were painted ({_shares(painted)}), and "
            f"mixtures of them in {between / total:.2%} of the pixels, as JPEG and smooth resizing make them. Save "
            "masks as PNG, resized to the nearest pixel; or take the nearest of the painted colours everywhere:\n"
            f"    --config.data.mask_encoding=colors --config.data.color_tolerance=255{named} "
            f"--config.data.mask_colors='({rows})'"
        )
    return painted, noise


def _values(masks, data: Data, alone: bool) -> Recognised:
    counts: dict[int, int] = {}
    blacks = set()
    for _, mask in masks:
        if mask.palette is not None:
            blacks.add(tuple(np.flatnonzero(~mask.palette.any(axis=1)).tolist()))
        values = mask.values if mask.values.ndim == 2 else mask.values.max(axis=2)
        found, pixels = np.unique(values, return_counts=True)
        for value, count in zip(found.tolist(), pixels.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + count
    void = {value: counts.pop(value) for value in data.void_values if value in counts}
    levels, total = sorted(counts), max(sum(counts.values()), 1)
    binary_asked, two = data.mask_encoding == "binary", len(data.classes) in (0, 2)
    whole = {**counts, **void}
    if not levels:
        raise DataError(f"The masks hold void alone (data.void_values={data.void_values!r}): {_shares(whole)}.")
    if len(levels) == 1:
        if binary_asked or data.classes or alone:
            return Recognised(
                {"mask_encoding": data.mask_encoding}
                if binary_asked
                else {"mask_encoding": "binary" if two and levels[0] in (0, 255) else "ids"}
            )
        raise DataError(
            f"All masks hold the value {levels[0]} alone: there is nothing to tell apart. Are these the right files? "
            "If it is meant, name the classes: --config.data.classes=background,object."
        )
    if two and len(levels) > _FEW and _is_smeared(counts):
        high = max(levels)
        between = sum(n for value, n in counts.items() if 16 < value < high - 16) / total
        return _of_two(
            f"0 and {high} with {len(levels) - 2} values between them ({between:.1%} of the pixels: smooth or "
            f"compressed edges), divided at {(high + 1) // 2}; soft labels would be a target of float32 from data of "
            "your own",
            data,
            (high + 1) // 2,
        )
    if binary_asked and len(levels) > 2 and not alone:
        raise DataError(_asked(whole, levels, data))
    if binary_asked or (two and len(levels) == 2 and _two_values(levels, blacks, data)):
        if levels == [0, 255] or levels == [0, 1] or levels[0] == 0:
            levels_text = "" if levels in ([0, 255], [0, 1]) else f"0 and {levels[1]}"
            return _of_two(levels_text, data, (levels[-1] + 1) // 2)
        return Recognised(
            {"mask_encoding": "ids", "mask_ids": _table([levels[0]], [levels[1]], void, data), **_named(data)},
            (f"the masks hold {levels[0]} and {levels[1]}: {levels[0]} is class 0 and {levels[1]} class 1",),
        )
    return _ids(counts, void, levels, data)


def _two_values(levels: list[int], blacks: set, data: Data) -> bool:
    """Whether two values are two classes; 3 and 255, say, are one of the classes 0 … n - 1 and the void id."""
    return levels[0] in (0, 1) and (levels[1] in (1, 2, 255) or levels[0] == 0)


def _of_two(what: str, data: Data, threshold: int) -> Recognised:
    notes = (f"the masks hold {what}",) if what else ()
    return Recognised({"mask_encoding": "binary", "mask_threshold": max(threshold, 1), **_named(data)}, notes)


def _named(data: Data) -> dict:
    return {} if data.classes else {"classes": ("background", "foreground")}


def _table(first: list[int], second: list[int], void: Mapping, data: Data) -> tuple[tuple[int, int], ...]:
    rows = [(value, 0) for value in first] + [(value, 1) for value in second]
    return tuple(rows + [(value, data.void_id) for value in void])


def _ids(counts: Mapping[int, int], void: Mapping[int, int], levels: list[int], data: Data) -> Recognised:
    ids = [value for value in levels if value != data.void_id]
    notes = []
    if data.void_id in counts:
        share = counts[data.void_id] / max(sum(counts.values()), 1)
        notes.append(f"{share:.1%} of the pixels of the masks are {data.void_id}, void: no loss or score counts them")
    if len(ids) > _MOST_IDS:
        raise DataError(
            f"The masks hold {len(ids):,} different values up to {ids[-1]:,}: numbers of objects, or intensities, "
            "but not classes. Of objects one class is made by --config.data.mask_encoding=binary."
        )
    fields: dict[str, Any] = {"mask_encoding": "ids"}
    if data.classes:
        if ids[0] >= 0 and ids[-1] < len(data.classes):
            return Recognised(fields, tuple(notes))
        raise DataError(_asked({**counts, **void}, levels, data))
    if ids[0] < 0 or ids[-1] + 1 > 2 * len(ids) + 2:
        raise DataError(_asked({**counts, **void}, levels, data))
    if len(ids) == 1:
        raise DataError(_asked({**counts, **void}, levels, data))
    names = tuple(f"class_{number}" for number in range(ids[-1] + 1))
    unseen = sorted(set(range(ids[-1] + 1)) - set(ids))
    never = f"; {', '.join(map(str, unseen))} never" if unseen else ""
    notes.insert(0, f"{len(names)} classes, the values 0 to {ids[-1]} of the masks{never}")
    return Recognised({**fields, "classes": names}, tuple(notes))


def _asked(counts: Mapping[int, int], levels: list[int], data: Data) -> str:
    """The possible readings of ambiguous values, each with its flag."""
    values = sorted(counts)[:12]
    named = f", and data.classes names {len(data.classes)}" if data.classes else ""
    text = f"The masks hold {len(counts)} values, which could mean several things{named}: {_shares(counts)}. Say which:"
    flag = "--config.data."
    if len(levels) == 3 and levels[0] == 0:
        _, middle, high = levels
        for void, other in ((high, middle), (middle, high)):
            text += f"\n    {flag}mask_encoding=binary {flag}void_values={void}   # {void} is void, {other} class 1"
        text += (
            f"\n    {flag}mask_encoding=ids {flag}mask_ids='((0, 0), ({middle}, 1), ({high}, 1))'   # both are class 1"
        )
    rows = ", ".join(f"({value}, {number})" for number, value in enumerate(values))
    more = ", …" if len(counts) > 12 else ""
    classes = "" if data.classes else f" {flag}classes=" + ",".join(f"class_{n}" for n in range(len(values)))
    text += f"\n    {flag}mask_encoding=ids{classes} {flag}mask_ids='({rows}{more})'   # a class each: value, class id"
    return text


def _is_smeared(counts: Mapping[int, int]) -> bool:
    """Whether the values are two with smeared edges between them: most that are not low are high."""
    high = max(counts)
    above = sum(n for value, n in counts.items() if value > high // 16)
    at_top = sum(n for value, n in counts.items() if value >= high - high // 16)
    low = sum(n for value, n in counts.items() if value <= high // 16)
    return high >= 200 and min(counts) <= high // 16 and at_top >= 0.1 * above and low + at_top >= 0.5 * (low + above)


def _shares(counts: Mapping) -> str:
    total = max(sum(counts.values()), 1)
    most = sorted(counts, key=lambda value: -counts[value])[:8]
    shown = [f"{_hex(value) if isinstance(value, tuple) else value} ({counts[value] / total:.1%})" for value in most]
    return ", ".join(shown) + (", …" if len(counts) > 8 else "")


def _hex(color: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)
