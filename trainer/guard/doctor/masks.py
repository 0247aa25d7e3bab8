"""Images and masks that do not belong together: turned, mirrored or sorted differently."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import keras
import numpy as np

from .change import Suspicion, fault
from .output import layers_of
from .pair import Pair
from .program import Program


def turned_masks(program: Program, pair: Pair) -> Iterator[Suspicion]:
    """Masks that fit their images better when turned or mirrored, or that fit other images better than their own."""
    images, masks = program.x, program.y
    if keras.tree.is_nested(images) or keras.tree.is_nested(masks):
        return
    images, masks = np.asarray(images), np.asarray(masks)
    if images.ndim != 4 or masks.shape[:3] != images.shape[:3] or not pair.labels.classes or len(images) < 12:
        return
    if pair.labels.constant or not np.isfinite(images).all() or pair.copies_input:
        return
    rows = np.linspace(0, len(images) - 1, min(len(images), 96)).astype(int)
    shades = images[rows].astype("float64")
    ids = masks[rows] if masks.ndim == 3 else masks[rows].argmax(-1) if masks.shape[-1] > 1 else masks[rows][..., 0]
    shades = shades - shades.mean((1, 2), keepdims=True)
    own = _fit(shades, ids)
    found = ways(shades.shape[1] == shades.shape[2])
    fits = {name: _fit(shades, way(ids)) for name, way in found.items()}
    draw = np.random.default_rng(0)
    chance = [_fit(shades, ids[draw.permutation(len(ids))]) for _ in range(12)]
    best = max(fits, key=fits.get)
    if fits[best] > max(0.15, 3 * own) and fits[best] > max(chance) + 0.1:
        yield fault(
            "labels_not_aligned",
            "y",
            f"The classes of {pair.name} explain {own:.0%} of how bright the pixels of their images are, and "
            f"{fits[best]:.0%} when the masks are {best}.",
            "Turn, mirror and crop image and mask by the same call, with the same random numbers.",
        )
    elif some := _some_turned(shades, ids, [ids[draw.permutation(len(ids))] for _ in range(3)]):
        how, share, fit = some
        yield fault(
            "labels_not_aligned",
            "y",
            f"{share:.0%} of the masks fit their image better {how}, and the others as they are: the classes "
            f"explain {own:.0%} of how bright the pixels are now, and {fit:.0%} with each mask the way that fits "
            "it.",
            "Turn, mirror and crop image and mask by the same call, with the same random numbers.",
        )
    elif own < 0.03 and own <= max(chance) + 1e-3 and (shift := _shift(shades, ids)) and shift[1] > max(chance) + 0.12:
        yield fault(
            "labels_not_aligned",
            "y",
            f"The classes of {pair.name} explain {own:.1%} of how bright the pixels of their images are, no more "
            f"than those of other images do ({max(chance):.1%}), and {shift[1]:.0%} of those of the image "
            f"{shift[0]} rows on.",
            "Sort both lists of files by name before they are put together.",
        )


_MOVING = {
    "RandomFlip": "mirrors",
    "RandomRotation": "turns",
    "RandomTranslation": "moves",
    "RandomZoom": "zooms",
    "RandomCrop": "crops",
    "RandomShear": "shears",
    "RandomPerspective": "tilts",
    "RandomElasticTransform": "bends",
}


def moved_inside(program: Program, pair: Pair) -> Iterator[Suspicion]:
    """Layers that move images at random in training, in a model that predicts pixels: the masks do not follow."""
    labels, predictions = pair.labels, pair.predictions
    if predictions is None or predictions.ndim != 4 or labels.constant or not labels.classes or pair.copies_input:
        return
    if labels.shape[1:3] != predictions.shape[1:3] or labels.values.ndim not in (3, 4):
        return
    moving = [layer for layer in layers_of(program.model) if type(layer).__name__ in _MOVING]
    if not moving:
        return
    masks = labels.values[:64]
    ids = masks if masks.ndim == 3 else masks.argmax(-1) if masks.shape[-1] > 1 else masks[..., 0]
    frequent = np.bincount(ids.astype(int).ravel() - int(ids.min())).argmax() + int(ids.min())
    apart = []
    for layer in moving:
        kind = type(layer).__name__
        turned = ids[:, ::-1, ::-1] if kind in ("RandomFlip", "RandomRotation") else np.roll(ids, len(ids[0]) // 8, 1)
        if kind == "RandomFlip":
            how = {"horizontal": np.s_[:, :, ::-1], "vertical": np.s_[:, ::-1]}.get(getattr(layer, "mode", ""))
            turned = turned if how is None else ids[how]
        either = (ids != frequent) | (turned != frequent)
        if either.any() and float(np.mean((ids == turned)[either])) < 0.6:
            apart.append(layer)
    if not apart:
        return
    names = tuple(layer.name for layer in apart)
    verbs = ", ".join(dict.fromkeys(_MOVING[type(layer).__name__] for layer in apart))
    yield fault(
        "labels_not_aligned",
        (*names, pair.name),
        f"{', '.join(map(repr, names))} {verbs} the images in training, inside the model, and {pair.name} stays as "
        f"it is: predictions of shape {tuple(predictions.shape[1:])} are compared with masks of other places.",
        "Turn, mirror and crop image and mask by the same call, before the model:\n\n"
        "    data = data.map(lambda x, y: augment(x, y))     # one call for both, masks by the nearest neighbour",
        depth="batch",
    )


def ways(square: bool) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Transformations that may have been applied to the masks alone; quarter turns only where they keep the shape."""
    found = {
        "turned by 180°": lambda m: np.rot90(m, 2, (1, 2)),
        "mirrored left to right": lambda m: m[:, :, ::-1],
        "mirrored top to bottom": lambda m: m[:, ::-1],
    }
    if square:
        found |= {
            "turned by 90°": lambda m: np.rot90(m, 1, (1, 2)),
            "turned by 270°": lambda m: np.rot90(m, 3, (1, 2)),
            "transposed": lambda m: m.swapaxes(1, 2),
        }
    return found


def _some_turned(shades: np.ndarray, ids: np.ndarray, others: list[np.ndarray]) -> tuple[str, float, float] | None:
    """(how, share, fit) where some of the masks fit their images turned and the rest unturned; otherwise None."""
    plain = _fit_of_each(shades, ids)
    best, found = 0.0, None
    for name, way in ways(shades.shape[1] == shades.shape[2]).items():
        turned = _fit_of_each(shades, way(ids))
        either = float(np.maximum(plain, turned).mean())
        chance = max(
            float(np.maximum(_fit_of_each(shades, other), _fit_of_each(shades, way(other))).mean()) for other in others
        )
        share = float(np.mean(turned > plain + 0.1))
        if either > plain.mean() + 0.15 and either > chance + 0.15 and 0.15 < share < 0.85 and either > best:
            best, found = either, (name, share, either)
    return found


def _fit_of_each(shades: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """For each image, the largest share of a channel's variance that its classes explain."""
    best = np.zeros(len(shades))
    classes = np.unique(ids)
    for channel in range(min(shades.shape[-1], 4)):
        values = shades[..., channel]
        whole = (values**2).sum((1, 2))
        explained = np.zeros(len(values))
        for k in classes:
            here = ids == k
            count = here.sum((1, 2))
            explained += np.where(count > 0, (values * here).sum((1, 2)) ** 2 / np.maximum(count, 1), 0.0)
        best = np.maximum(best, explained / np.maximum(whole, 1e-12))
    return best


def mask_fit(images: np.ndarray, masks: np.ndarray, pair: Pair) -> float | None:
    """How much of the pixels' brightness the masks explain beyond the masks of other images; None without images."""
    if images.ndim != 4 or masks.shape[:3] != images.shape[:3] or not pair.labels.classes or len(images) < 12:
        return None
    rows = np.linspace(0, len(images) - 1, min(len(images), 96)).astype(int)
    ids = masks[rows] if masks.ndim == 3 else masks[rows].argmax(-1) if masks.shape[-1] > 1 else masks[rows][..., 0]
    shades = images[rows].astype("float64")
    shades = shades - shades.mean((1, 2), keepdims=True)
    draw = np.random.default_rng(0)
    return _fit(shades, ids) - max(_fit(shades, ids[draw.permutation(len(ids))]) for _ in range(8))


def _shift(shades: np.ndarray, ids: np.ndarray) -> tuple[int, float]:
    fits = {by: _fit(shades, np.roll(ids, by, 0)) for by in (1, -1, 2, -2)}
    fits[0] = _fit(shades, ids[::-1])
    best = max(fits, key=fits.get)
    return best, fits[best]


def _fit(shades: np.ndarray, ids: np.ndarray) -> float:
    """The largest share of a channel's variance that the classes explain within the images."""
    best = 0.0
    for channel in range(min(shades.shape[-1], 4)):
        values = shades[..., channel]
        whole = float((values**2).sum())
        if not whole:
            continue
        explained = sum(float(values[ids == k].mean()) ** 2 * int((ids == k).sum()) for k in np.unique(ids))
        best = max(best, explained / whole)
    return best
