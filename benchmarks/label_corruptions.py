"""Wrong labels, put into right ones: what `benchmarks.audit_labels` looks for.

Of a share of the images the label is changed in one of these ways, as many images by each. Every change is drawn from a
seed.

  dropped    one to a third of the objects are not in the label
  invented   objects of other images, one to a third of the image's own count, lie where the label has background
  shifted    the whole label is displaced by 4 to 10 pixels, in any direction
  swapped    two images of one size have each other's label; of data with more than two classes one to a third of the
             connected parts have another class
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

KINDS = ("dropped", "invented", "shifted", "swapped")
_EVERY_NEIGHBOUR = np.ones((3, 3), bool)


def corrupted(
    labels: Sequence[np.ndarray],
    seed: int,
    *,
    share: float = 0.1,
    classes: int = 2,
    kinds: Sequence[str] = KINDS,
    background: bool = True,
) -> tuple[list[np.ndarray], dict[int, str]]:
    """Copies of the labels, some of them wrong.

    Args:
      labels: class ids `[height, width]` of each image; 255 is void.
      seed: of everything that is drawn.
      share: of the images whose label is changed.
      classes: ids there are; with more than two, `swapped` changes objects' classes.
      kinds: of `KINDS`.
      background: class 0 is no object.

    Returns:
      the labels, and the number of each image that is wrong -> its kind.
    """
    random = np.random.default_rng(seed)
    made, wrong = [label.copy() for label in labels], {}
    order = random.permutation(len(labels)).tolist()
    count = round(share * len(labels))
    wanted = [kinds[number % len(kinds)] for number in range(count)]
    for kind in wanted:
        if list(wrong.values()).count(kind) >= wanted.count(kind):
            continue
        for index in [index for index in order if index not in wrong]:
            changed = _changed(kind, index, labels, [o for o in order if o not in wrong], classes, background, random)
            if changed:
                break
        for number, label in changed.items():
            if not np.array_equal(label, labels[number]):
                made[number], wrong[number] = label, kind
    return made, wrong


def _changed(
    kind: str, index: int, labels, free: Sequence[int], classes: int, background: bool, random
) -> Mapping[int, np.ndarray]:
    """The image's new label, or two images' new ones; empty where nothing can be changed."""
    label = labels[index]
    objects, count = _objects(label, int(background))
    some = max(1, round(random.uniform(0, 1 / 3) * count))
    if count == 0:
        return {}
    if kind == "dropped":
        chosen = random.choice(np.arange(1, count + 1), some, replace=False)
        return {index: np.where(np.isin(objects, chosen), 0, label).astype(label.dtype)}
    if kind == "invented":
        return {index: _with_invented(label, [labels[n] for n in free if n != index], some, random)}
    if kind == "shifted":
        angle, distance = random.uniform(0, 2 * math.pi), random.uniform(4, 10)
        by = (round(distance * math.sin(angle)), round(distance * math.cos(angle)))
        return {index: ndimage.shift(label, by, order=0, mode="nearest")}
    if classes > 2:
        chosen = random.choice(np.arange(1, count + 1), some, replace=False)
        first, there = int(background), classes - int(background)
        new = first + (label.astype(int) - first + random.integers(1, there)) % there
        return {index: np.where(np.isin(objects, chosen), new, label).astype(label.dtype)}
    same = [n for n in free if n != index and labels[n].shape == label.shape]
    other = same[random.integers(len(same))] if same else None
    return {} if other is None else {index: labels[other].copy(), other: label.copy()}


def _objects(label: np.ndarray, first: int = 1) -> tuple[np.ndarray, int]:
    """Connected parts of each class from the first on, numbered from 1."""
    found, count = np.zeros(label.shape, int), 0
    for class_id in np.unique(label[(label >= first) & (label < 255)]).tolist():
        parts, more = ndimage.label(label == class_id, _EVERY_NEIGHBOUR)
        found[parts > 0] = parts[parts > 0] + count
        count += more
    return found, count


def _with_invented(label: np.ndarray, others: Sequence[np.ndarray], count: int, random) -> np.ndarray:
    """The label with objects of others at places where it has background."""
    made, done = label.copy(), 0
    for _ in range(200 * count):
        other = others[random.integers(len(others))]
        objects, found = _objects(other)
        if not found:
            continue
        number = int(random.integers(1, found + 1))
        box = ndimage.find_objects(objects, number)[number - 1]
        shape = objects[box] == number
        room = [size - side for size, side in zip(label.shape, shape.shape, strict=True)]
        if min(room) <= 0 or not 40 <= shape.sum() <= 0.05 * label.size:
            continue
        top, left = (int(random.integers(side)) for side in room)
        here = made[top : top + shape.shape[0], left : left + shape.shape[1]]
        if (here[shape] != 0).any():
            continue
        here[shape] = other[box][shape]
        done += 1
        if done == count:
            break
    return made
