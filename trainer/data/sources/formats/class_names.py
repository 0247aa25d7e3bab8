"""The values in masks, and their classes by a table beside them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError
from trainer.data.masks.values import decode_values
from trainer.data.sources.formats.class_tables import ClassTable
from trainer.data.sources.formats.mask_files import Placed, by_colors, by_values, says_masks, void_note
from trainer.data.sources.formats.tree import Tree

_LOOKED_AT = 48
# Pascal VOC's border, around objects.
_BORDER = (224, 224, 192)


@dataclasses.dataclass(frozen=True)
class Held:
    """The values in some masks: numbers, or colours of the pixels or of the palette.

    colored: whether any mask has colours.
    indexed: whether any mask has a palette, so that its numbers may be ids.
    values: the numbers, including palettes' indices; colors: red, green, blue.
    masks: the numbers in each.
    """

    colored: bool
    indexed: bool
    values: frozenset[int]
    colors: frozenset[tuple[int, int, int]]
    masks: tuple[frozenset[int], ...] = ()

    def mostly(self, numbers: Collection[int]) -> bool:
        """Whether the numbers of most masks are among these; the others are reported as faults of their files."""
        fitting = sum(mask <= set(numbers) for mask in self.masks)
        return bool(self.masks) and 2 * fitting > len(self.masks)


def held_by(tree: Tree, pairs: Sequence[Placed], data: Data) -> Held:
    """Reads some masks; unreadable ones are reported when they are trained on."""
    values: set[int] = set()
    colors: set[tuple[int, int, int]] = set()
    indexed, masks = False, []
    for index in np.unique(np.linspace(0, len(pairs) - 1, min(len(pairs), _LOOKED_AT)).astype(int)).tolist():
        try:
            mask = decode_values(tree.at(pairs[index].mask), data.max_pixels)
        except DataError:
            continue
        if mask.values.ndim == 3 and (mask.values != mask.values[:, :, :1]).any():
            colors |= set(map(tuple, np.unique(mask.values.reshape(-1, 3), axis=0).tolist()))
            continue
        plane = mask.values if mask.values.ndim == 2 else mask.values[:, :, 0]
        found = np.unique(plane).tolist()
        values |= set(found)
        masks.append(frozenset(found))
        if mask.palette is not None:
            indexed = True
            colors |= {tuple(mask.palette[value].tolist()) for value in found if value < len(mask.palette)}
    colored = any(len(set(color)) > 1 for color in colors)
    return Held(colored, indexed, frozenset(values), frozenset(colors), tuple(masks))


def fields_of_table(
    tree: Tree, table: ClassTable, pairs: Sequence[Placed], data: Data
) -> tuple[Mapping[str, Any], list[str]]:
    """Fields with the meaning of some pairs' masks, and notes; empty where the table does not belong to these masks.

    Raises:
      DataError: data.classes names others.
    """
    if says_masks(data):
        return {}, []
    held = held_by(tree, pairs, data)
    notes = [f"classes of {table.path}", *void_note(table.colors or table.values)]
    known = {color for color, _ in table.colors}
    border = [(_BORDER, "void")] if _BORDER in held.colors - known else []
    if table.colors and held.colors and held.colors <= known | {_BORDER}:
        return by_colors([*table.colors, *border], data), notes
    if table.colors and held.colored and not held.colors & known:
        raise DataError(
            f"{tree.shown(table.path)}: none of its colours occurs in the masks, which hold "
            f"{', '.join(map(str, sorted(held.colors)[:6]))}."
        )
    if table.colors and held.colors and held.colored:
        # Some are in the table: others end in an error with the mask's name.
        return by_colors([*table.colors, *border], data), notes
    entries = table.values or tuple(enumerate(table.names))
    numbers = {value for value, _ in entries} | {data.void_id}
    if held.mostly(numbers) and not (held.values <= {0, 255} and not table.values):
        return by_values(entries, data), notes
    if not table.values and held.values <= {0, 255} and len(entries) == 2:
        return {"classes": by_values(entries, data)["classes"]}, notes
    if table.values and table.path.lower().endswith(".csv"):
        return by_values(entries, data), notes
    return {}, [f"{table.path} is not read: the masks hold {', '.join(map(str, sorted(held.values)[:8]))}"]
