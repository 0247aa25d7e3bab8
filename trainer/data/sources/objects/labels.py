"""The meaning of labels in a user's arrays: class ids, a mask of 0 and 255, one-hot, or a target other than classes.

Decided once from the labels of many examples, reported in a note, and then used for every example.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError
from trainer.data.example import Feature, label_feature

_MOST_IDS = 256


@dataclasses.dataclass(frozen=True)
class LabelKind:
    """How labels are read.

    kind: "ids", "binary" (0 and 255), "one_hot" `[h, w, classes]`, "multi" (likewise, for classes that overlap),
      "target" (float32), or "none".
    shape: for planes, the axes after height and width.
    high: the value in planes of "multi" for pixels of the class: 1, or 255.
    """

    kind: Literal["ids", "binary", "one_hot", "multi", "target", "none"]
    shape: tuple[int, ...] = ()
    high: int = 1

    def feature(self, void_id: int) -> Feature | None:
        """How labels travel; None if there are none."""
        if self.kind == "none":
            return None
        if self.kind == "target":
            return Feature("picture", np.dtype(np.float32), self.shape)
        return label_feature(void_id, self.shape[0] if self.kind == "multi" else 0)


def squeezed(label: np.ndarray) -> np.ndarray:
    """A label in simplest form: `[h, w, 1]` without its last axis, booleans as 0 and 1."""
    if label.ndim == 3 and label.shape[2] == 1:
        label = label[:, :, 0]
    return label.astype(np.uint8) if label.dtype == np.bool_ else label


def kind_of_labels(labels: Sequence[tuple[str, np.ndarray]], data: Data) -> tuple[LabelKind, list[str]]:
    """How to read the labels, and a note on it.

    Args:
      labels: (example's name, label as returned by `squeezed`).
      data: the config's section.
    Raises:
      DataError: they are of several kinds, or of an unknown kind.
    """
    if data.multi_label:
        labels = [(name, label if label.ndim == 3 else label[:, :, None]) for name, label in labels]
    first_name, first = labels[0]
    for name, label in labels:
        if label.ndim != first.ndim or label.shape[2:] != first.shape[2:]:
            raise DataError(
                f"{name}['label'] has the shape {list(label.shape)}, and {first_name}['label'] {list(first.shape)}: "
                "all labels have to be of one kind, e.g. class ids [height, width]."
            )
    if first.ndim == 3:
        return _of_planes(labels, data)
    fractions = first.dtype.kind == "f"
    if fractions and not all(_few_whole_numbers(label) for _, label in labels):
        return LabelKind("target"), ["the labels hold fractions: they are a target of float32, and no class ids"]
    notes = ["the labels are class ids as fractional numbers, and are read as whole ones"] if fractions else []
    seen = set().union(*(np.unique(label).tolist() for _, label in labels))
    ids = data.mask_ids or data.mask_encoding == "ids"
    if seen == {0, 255} and data.void_id == 255 and not ids and len(data.classes) in (0, 2):
        return LabelKind("binary"), [*notes, "the labels hold 0 and 255 alone: 255 is class 1, not void"]
    return LabelKind("ids"), notes


def _of_planes(labels: Sequence[tuple[str, np.ndarray]], data: Data) -> tuple[LabelKind, list[str]]:
    planes = labels[0][1].shape[2]
    if data.multi_label or (data.labels == "auto" and _overlap(labels, data)):
        return _multi(labels, data)
    wrong = next(((name, label) for name, label in labels if not _is_one_hot(label)), None)
    if wrong is None:
        if data.classes and len(data.classes) != planes:
            raise DataError(
                f"The labels are one-hot with {planes} planes, and data.classes names {len(data.classes)}: "
                f"{', '.join(data.classes)}. Name a class for each plane."
            )
        return LabelKind("one_hot", (planes,)), [f"the labels are one-hot over {planes} classes; read as class ids"]
    name, label = wrong
    if label.dtype.kind == "f":
        return LabelKind("target", (planes,)), [
            f"the labels are float32 with {planes} planes and not one-hot: they are a target, and no class ids"
        ]
    sums = label.astype(np.int64).sum(axis=2)
    raise DataError(
        f"{name}['label'] has the shape {list(label.shape)}, and is not one-hot: {int((sums != 1).sum())} pixels have "
        "no 1 or several. A label is one class id a pixel, [height, width]; colours have to become ids first. Of "
        "classes that overlap a label is planes of 0 and 1, whole numbers, and data.labels='multi'."
    )


def _overlap(labels: Sequence[tuple[str, np.ndarray]], data: Data) -> bool:
    """Whether planes of whole numbers hold 0 and 1 (or 255), and several classes, or none, at some pixel."""
    high = _high(labels, data)
    return (
        all(label.dtype.kind in "iu" for _, label in labels)
        and not any(_strange(label, high, data).any() for _, label in labels)
        and not all(_is_one_hot(label) for _, label in labels)
    )


def _high(labels: Sequence[tuple[str, np.ndarray]], data: Data) -> int:
    seen = set().union(*(np.unique(label).tolist() for _, label in labels))
    return 255 if seen == {0, 255} else 1


def _strange(label: np.ndarray, high: int, data: Data) -> np.ndarray:
    return (label != 0) & (label != high) & (label != data.void_id)


def _multi(labels: Sequence[tuple[str, np.ndarray]], data: Data) -> tuple[LabelKind, list[str]]:
    planes, high = labels[0][1].shape[2], _high(labels, data)
    if data.classes and len(data.classes) != planes:
        raise DataError(
            f"The labels have {planes} planes, and data.classes names {len(data.classes)}: {', '.join(data.classes)}. "
            "Of classes that overlap a label has a plane for each."
        )
    several = sum(int(((label == high).sum(axis=2) > 1).sum()) for _, label in labels)
    share = several / max(sum(label.shape[0] * label.shape[1] for _, label in labels), 1)
    evidence = f"the labels have {planes} planes of 0 and {high}, and {share:.1%} of the pixels are of several classes"
    return LabelKind("multi", (planes,), high), [f"{evidence}: each class has an output with a sigmoid of its own"]


def class_ids(label: np.ndarray, kind: LabelKind, data: Data, classes: int, name: str) -> np.ndarray:
    """A label as class ids or as its target, checked.

    Args:
      label: as returned by `squeezed`.
      kind: that of all labels.
      data: mask_ids and void_id are read.
      classes: their number; 0 allows every id.
      name: of the example.
    Raises:
      DataError: it is of another kind, or has ids outside the classes.
    """
    planes = kind.shape if kind.kind in ("one_hot", "multi", "target") else ()
    if kind.kind == "multi" and label.ndim == 2:
        label = label[:, :, None]
    if label.shape[2:] != planes:
        raise DataError(
            f"{name}['label'] has the shape {list(label.shape)}; the others are [height, width{_tail(planes)}]."
        )
    if kind.kind == "target":
        return label.astype(np.float32, copy=False)
    if kind.kind == "multi":
        strange = _strange(label, kind.high, data)
        if strange.any():
            raise DataError(
                f"{name}['label'] holds {counted(label[strange])}; a plane of a class that overlaps with others holds "
                f"0, {kind.high}, or {data.void_id} for void."
            )
        void = (label == data.void_id) & (kind.high != data.void_id)
        made = np.where(void, data.void_id, label == kind.high)
        return made.astype(np.result_type(np.uint8, np.min_scalar_type(data.void_id)))
    if kind.kind == "one_hot":
        if not _is_one_hot(label):
            raise DataError(f"{name}['label'] is not one-hot: some pixels have no 1 or several, unlike the others.")
        return label.argmax(axis=2).astype(np.uint8 if planes[0] < 256 else np.int32)
    if label.dtype.kind == "f":
        if (label != np.rint(label)).any():
            first = label[label != np.rint(label)].flat[0]
            raise DataError(f"{name}['label'] holds fractions ({first:g}), and the other labels are class ids.")
        label = label.astype(np.int32)
    table = ((0, 0), (255, 1)) if kind.kind == "binary" else data.mask_ids
    return _within(_mapped(label, table, name) if table else label, data.void_id, classes, name, data)


def _mapped(label: np.ndarray, table: Sequence[tuple[int, int]], name: str) -> np.ndarray:
    made = np.full(label.shape, -(2**31), np.int32)
    for value, class_id in table:
        made[label == value] = class_id
    unknown = label[made == -(2**31)]
    if unknown.size:
        raise DataError(
            f"{name}['label']: {unknown.size} pixels have values that are in no row of data.mask_ids: "
            f"{counted(unknown)}."
        )
    return made


def _within(label: np.ndarray, void_id: int, classes: int, name: str, data: Data) -> np.ndarray:
    low, high = int(label.min()), int(label.max())
    if classes and (low < 0 or high >= classes):
        wrong = label[((label < 0) | (label >= classes)) & (label != void_id)]
        if wrong.size:
            raise DataError(
                f"{name}['label']: {wrong.size} pixels have values that are no class: {counted(wrong)}. Classes are "
                f"0 … {classes - 1}{_names(data)}, and {void_id} is void. Name all classes in data.classes, or map the "
                "values in data.mask_ids."
            )
    return label


def infer_classes(counts: dict[int, int], data: Data, looked_at: str) -> tuple[tuple[str, ...], str]:
    """Names for the ids that occur, and a note about them.

    Args:
      counts: id -> pixels, void included.
      data: void_id is read.
      looked_at: "the labels of all 150 examples".
    Raises:
      DataError: they cannot be class ids: negative, a single one, too many, or with gaps as in no list of classes.
    """
    ids = sorted(i for i in counts if i != data.void_id)
    total = max(sum(counts.values()), 1)
    shares = ", ".join(f"{i} ({counts[i] / total:.2%})" for i in sorted(counts, key=lambda i: -counts[i])[:8])
    shares += ", …" if len(counts) > 8 else ""
    table = "data.mask_ids=(" + ", ".join(f"({i}, {n})" for n, i in enumerate(ids[:4])) + (", …)" if ids[4:] else ")")
    what = f"{looked_at[0].upper()}{looked_at[1:]}"
    if len(ids) > _MOST_IDS:
        raise DataError(
            f"{what} hold {len(ids):,} different ids up to {ids[-1]:,}: these are numbers of objects or intensities, "
            "not classes. Make one id of each class, e.g. (label > 0).astype('uint8')."
        )
    if len(ids) < 2:
        held = f"the id {ids[0]} alone" if ids else "void alone"
        raise DataError(
            f"{what} hold {held}: there is nothing to tell apart. Values found: {shares}. Is it the right array, and "
            f"is {data.void_id} void (data.void_id)? If it is meant, name the classes: data.classes=('background', …)."
        )
    if ids[0] < 0:
        raise DataError(
            f"{what} hold negative ids: {shares}. If {ids[0]} marks pixels that count nowhere: data.void_id={ids[0]}."
        )
    if ids[-1] + 1 > 2 * len(ids) + 2:
        raise DataError(
            f"{what} hold {len(ids)} values up to {ids[-1]}: {shares}. If each is a class, map them to 0 … "
            f"{len(ids) - 1}:\n    {table}   # value, class id\n  or name all {ids[-1] + 1} classes: data.classes=(…)."
        )
    unseen = sorted(set(range(ids[-1] + 1)) - set(ids))
    never = f"; {', '.join(map(str, unseen))} never" if unseen else ""
    note = f"{ids[-1] + 1} classes, ids 0..{ids[-1]} of {looked_at}{never}"
    return tuple(f"class_{number}" for number in range(ids[-1] + 1)), note


def counted(values: np.ndarray) -> str:
    """The values that occur, most frequent first: "7 (34 pixels), 9 (2 pixels)"."""
    found, counts = np.unique(values, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:8]
    parts = [f"{found[i]} ({counts[i]} pixels)" for i in most]
    return ", ".join(parts) + (f" and {len(found) - len(parts)} more" if len(found) > len(parts) else "")


def _is_one_hot(label: np.ndarray) -> bool:
    return bool(((label == 0) | (label == 1)).all() and (label.sum(axis=2, dtype=np.float32) == 1).all())


def _few_whole_numbers(label: np.ndarray) -> bool:
    return bool((label == np.rint(label)).all()) and len(np.unique(label)) <= 64


def _tail(shape: tuple[int, ...]) -> str:
    return "".join(f", {side}" for side in shape)


def _names(data: Data) -> str:
    return f" ({', '.join(data.classes)})" if data.classes else ""
