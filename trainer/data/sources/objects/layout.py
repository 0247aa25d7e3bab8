"""The common layout of all examples of a user's object: which keys there are, and how each is read and travels."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError, listed
from trainer.data.example import RESERVED, Example, Feature, as_array, extra_feature, image_feature
from trainer.data.sources.objects.labels import LabelKind, class_ids, infer_classes, kind_of_labels, squeezed


@dataclasses.dataclass(frozen=True)
class Layout:
    """The layout common to all examples.

    channels: of every image.
    eight_bits: whether images are uint8; otherwise they are float32.
    label: how labels are read.
    extras: key -> how it travels.
    data: the config's section, with the classes' names.
    """

    channels: int
    eight_bits: bool
    label: LabelKind
    extras: Mapping[str, Feature]
    data: Data

    @property
    def features(self) -> dict[str, Feature]:
        """Key -> how it travels, of all keys."""
        label = self.label.feature(self.data.void_id)
        return {"image": image_feature(self.channels), **({"label": label} if label else {}), **self.extras}

    def example(self, arrays: Mapping[str, np.ndarray], name: str) -> Example:
        """Makes an example of a checked item.

        Raises:
          DataError: it differs from the others; names the example and the key.
        """
        image = arrays["image"]
        if image.shape[2] != self.channels:
            raise DataError(
                f"{name}['image'] has {image.shape[2]} channels, and the others have {self.channels}: all images need "
                "the same number."
            )
        if (image.dtype == np.uint8) != self.eight_bits:
            here, there = ("uint8", "numbers of more bits") if self.eight_bits is False else (image.dtype, "uint8")
            raise DataError(f"{name}['image'] is an array of {here}, and the others are {there}: use one type for all.")
        label = None
        if (self.label.kind == "none") != ("label" not in arrays):
            is_, others = ("a label", "none") if "label" in arrays else ("no label", "one")
            raise DataError(
                f"{name} has {is_}, and the others have {others}. Where some examples have no label, give them one "
                f"full of void: numpy.full((height, width), {self.data.void_id}, 'uint8')."
            )
        if self.label.kind != "none":
            label = class_ids(arrays["label"], self.label, self.data, len(self.data.classes), name)
        return Example(image, label, name, {key: self._extra(key, arrays, name) for key in self._keys(arrays, name)})

    def _keys(self, arrays: Mapping, name: str) -> list[str]:
        more = [key for key in arrays if key not in self.extras and key not in ("image", "label")]
        missing = [key for key in self.extras if key not in arrays]
        if more or missing:
            what = f"has no {', '.join(map(repr, missing))}" if missing else f"has {', '.join(map(repr, more))}"
            have = "have" if missing else "have not"
            raise DataError(f"{name} {what}, which the others {have}: all examples need the same keys.")
        return list(self.extras)

    def _extra(self, key: str, arrays: Mapping, name: str) -> np.ndarray:
        value, wanted = arrays[key], self.extras[key]
        found = extra_feature(value, arrays["image"].shape[:2]) if wanted.spatial else None
        if found is not None and not found.spatial:
            height, width = arrays["image"].shape[:2]
            raise DataError(
                f"{name}[{key!r}] has the shape {list(value.shape)}, and its image is {height} x {width} (height x "
                f"width): in the other examples {key!r} has its image's size, and goes with it."
            )
        have = found or _values(value)
        if (have.shape, have.dtype) != (wanted.shape, wanted.dtype):
            size = ["height", "width"] if wanted.spatial else []
            raise DataError(
                f"{name}[{key!r}] is {_described([*size, *have.shape], have.dtype)}, and in the other examples "
                f"{_described([*size, *wanted.shape], wanted.dtype)}: a key needs one shape and type in all examples."
            )
        return value


def _values(value: np.ndarray) -> Feature:
    return extra_feature(value, (-1, -1))


def _described(shape: Sequence, dtype: np.dtype) -> str:
    kind = "text" if dtype.kind == "O" else str(dtype)
    return f"{kind} [{', '.join(map(str, shape))}]" if shape else f"one {kind}"


def arrays_of(item: Any, name: str) -> dict[str, np.ndarray]:
    """An item of a user's object as arrays by key, checked as far as possible without the others.

    Args:
      item: (image, label), a mapping with "image", or an image alone.
      name: of the example.
    Raises:
      DataError: it is something else, or image and label do not fit together.
    """
    made = {key: _array(value, name, key) for key, value in _by_key(item, name).items()}
    image = made["image"] = _image(made["image"], made.get("label"), name)
    if "label" in made:
        label = made["label"] = squeezed(made["label"])
        if label.ndim not in (2, 3) or label.dtype.kind not in "iuf":
            raise DataError(
                f"{name}['label'] is {_described(label.shape, label.dtype)}; a label is whole numbers [height, width], "
                "one class id a pixel."
            )
        if label.shape[:2] != image.shape[:2]:
            raise DataError(
                f"{name}['label'] is {label.shape[1]} x {label.shape[0]} pixels, its image {image.shape[1]} x "
                f"{image.shape[0]} (width x height)."
            )
        _check_finite(label, name, "label")
    return made


def _by_key(item: Any, name: str) -> Mapping[str, Any]:
    if isinstance(item, Mapping):
        if "image" not in item:
            raise DataError(f"{name} has no key 'image'; it has {', '.join(map(repr, item)) or 'none'}.")
        wrong = [key for key in item if key in RESERVED or not isinstance(key, str)]
        if wrong:
            why = "batches have it of themselves: call it otherwise" if wrong[0] in RESERVED else "keys are text"
            raise DataError(f"{name} has the key {wrong[0]!r}; {why}.")
        return item
    if isinstance(item, (tuple, list)):
        if len(item) == 2:
            return {"image": item[0], "label": item[1]}
        raise DataError(
            f"{name} is a {type(item).__name__} of {len(item)}; an example is (image, label), or for more than these a "
            "dict: {'image': …, 'label': …, 'weight': …}."
        )
    if item is None or isinstance(item, (str, bytes)):
        what = "None" if item is None else f"text, {item!r:.60}"
        raise DataError(
            f"{name} is {what}; an example is (image, label) or a dict with 'image', of arrays that are decoded."
        )
    return {"image": item}


def _array(value: Any, name: str, key: str) -> np.ndarray:
    if value is None:
        raise DataError(f"{name}[{key!r}] is None. Leave the key out of all examples, or give it a value in each.")
    try:
        made = as_array(value)
    except MemoryError:
        raise
    except Exception as error:  # An object's conversion may raise anything.
        raise DataError(f"{name}[{key!r}] does not become an array: {type(error).__name__}: {error}") from error
    if made.dtype.kind not in "biufSUO" or (made.dtype == object and not _is_text(made)):
        raise DataError(
            f"{name}[{key!r}] is {type(value).__name__} of {made.dtype}; a value is numbers or text, of one shape in "
            "all examples."
        )
    return made.astype(object) if made.dtype.kind in "SU" else made


def _is_text(array: np.ndarray) -> bool:
    return all(isinstance(value, (str, bytes)) for value in array.flat)


def _image(image: np.ndarray, label: np.ndarray | None, name: str) -> np.ndarray:
    image = image[:, :, None] if image.ndim == 2 else image
    if image.dtype == object or image.ndim != 3:
        what = _described(image.shape, image.dtype)
        batch = " This looks like a batch: give one image at a time; volumes as float32." if image.ndim == 4 else ""
        raise DataError(f"{name}['image'] is {what}; an image is numbers [height, width, channels].{batch}")
    if 0 in image.shape:
        raise DataError(f"{name}['image'] has the shape {list(image.shape)}: it has no pixels.")
    last = label is not None and label.ndim >= 2 and label.shape[:2] == image.shape[:2]
    if label is not None and label.ndim >= 2 and image.shape[1:] == label.shape[-2:] and not last:
        raise DataError(
            f"{name}['image'] has the shape {list(image.shape)} and its label {list(label.shape)}: the channels come "
            "first. Put them last: numpy.moveaxis(image, 0, -1)."
        )
    if image.dtype != np.uint8:
        image = image.astype(np.float32)
    _check_finite(image, name, "image")
    return image


def _check_finite(array: np.ndarray, name: str, key: str) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        wrong = ~np.isfinite(array)
        nan = int(np.isnan(array).sum())
        kinds = f"{nan} NaN" + (f" and {int(wrong.sum()) - nan} infinite" if wrong.sum() > nan else "")
        raise DataError(
            f"{name}[{key!r}] holds {kinds if nan else f'{int(wrong.sum())} infinite'} values; put numbers there, or "
            "give those pixels a void label."
        )


def skeleton(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same shapes and types without the pixels, which do not fit in memory for many examples; the label stays."""
    return {
        key: value if key == "label" or value.dtype == object else np.broadcast_to(value.dtype.type(), value.shape)
        for key, value in arrays.items()
    }


def find_layout(
    items: Sequence[tuple[str, Mapping[str, np.ndarray]]], data: Data, *, looked_at: str, classes: Sequence[str] = ()
) -> tuple[Layout, list[str]]:
    """The layout of examples, from many of them, and notes on what was recognised.

    Args:
      items: (name, arrays as returned by `arrays_of`, or their `skeleton`), at least one.
      data: the config's section; its classes are used if it names any.
      looked_at: "all 150 examples", for notes.
      classes: the object's own names for its classes.
    Raises:
      DataError: labels of several kinds, or labels that are not class ids.
    """
    labels = [(name, arrays["label"]) for name, arrays in items if "label" in arrays]
    kind, notes = kind_of_labels(labels, data) if labels else (LabelKind("none"), [])
    named = tuple(data.classes) or tuple(classes)
    if not named and kind.kind in ("one_hot", "multi"):
        named = tuple(f"class_{number}" for number in range(kind.shape[0]))
    elif not named and kind.kind == "binary":
        named = ("background", "foreground")
    elif not named and kind.kind == "ids":
        counts: dict[int, int] = {}
        for name, label in labels:
            values, pixels = np.unique(class_ids(label, kind, data, 0, name), return_counts=True)
            for value, count in zip(values.tolist(), pixels.tolist(), strict=True):
                counts[value] = counts.get(value, 0) + count
        named, note = infer_classes(counts, data, f"the labels of {looked_at}")
        notes = [*notes, note]
    image = items[0][1]["image"]
    extras = {key: _feature(key, items) for key in items[0][1] if key not in ("image", "label")}
    data = dataclasses.replace(data, classes=named, labels="multi" if kind.kind == "multi" else data.labels)
    return Layout(image.shape[2], image.dtype == np.uint8, kind, extras, data), notes


def _feature(key: str, items: Sequence[tuple[str, Mapping[str, np.ndarray]]]) -> Feature:
    """A key follows the image if it has the image's size in all examples; in some it may have it by chance."""
    having = [arrays for _, arrays in items if key in arrays]
    found = [extra_feature(arrays[key], arrays["image"].shape[:2]) for arrays in having]
    plain = {_values(arrays[key]).shape for arrays in having}
    return found[0] if all(f.spatial for f in found) or len(plain) > 1 else _values(having[0][key])


def check_items(items: Iterable[tuple[str, Mapping[str, np.ndarray]]], layout: Layout) -> list[str]:
    """The problems of the examples from which a layout was found."""
    problems = []
    for name, arrays in items:
        try:
            layout.example(arrays, name)
        except DataError as error:
            problems.append(str(error))
    return problems


def all_of(problems: Sequence[str]) -> DataError:
    """A single error with all problems of a user's object."""
    count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
    return DataError(f"The data have {count}:\n{listed(problems)}")
