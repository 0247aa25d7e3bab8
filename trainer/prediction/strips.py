"""Images of any size, a row of tiles at a time: rows that no later tile can change are yielded, and forgotten.

Memory is bounded by a row of tiles: its pixels, and logits only where tiles overlap. There logits are averaged,
weighted towards the tiles' middles.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from trainer.prediction import mosaics, tile_grid
from trainer.prediction.network import Network, Read, mirrored_read


@dataclasses.dataclass(frozen=True)
class Strip:
    """Finished rows of an image.

    Attributes:
      top: the first row.
      image: `[rows, width, channels]`.
      ids: `[rows, width]`, class ids.
      probabilities: float16 `[rows, width, classes]`, or None.
    """

    top: int
    image: np.ndarray
    ids: np.ndarray
    probabilities: np.ndarray | None = None


def strips(
    network: Network, read: Read, height: int, width: int, moved: Callable[[int], None] = lambda pixels: None
) -> Iterator[Strip]:
    """The strips of an image from top to bottom.

    Args:
      network: the network to run.
      read: returns parts of the image; rows are read from top to bottom, once for the network and, if it needs facts
        about the whole image, once before that.
      height, width: the image's.
      moved: called after each tile with the number of pixels done.
    """
    down, across = network.axes(height, width)
    given = network.given(read, height, width)
    both = across.total(0, across.extended)[:, None]
    band = above = None
    for number, top in enumerate(down.starts):
        follows = number + 1 < len(down.starts)
        final = (down.starts[number + 1] if follows else down.extended) - top
        band = _band(read, band, top - down.starts[number - 1] if number else 0, top, down, across, (height, width))
        below = np.empty([down.side - final, across.extended, network.outputs], np.float32)
        ids, shares, left = [], [], None
        divisor = down.total(top, top + final)[:, None, None]
        for start, end, logits in _tiles(network, band, down.weights[number], across, given):
            if left is not None:
                logits[:, : left.shape[1]] += left
            left = logits[:, end - start :].copy()
            done = logits[:, : end - start]
            if above is not None:
                done[: len(above)] += above[:, start:end]
            below[:, start:end] = done[final:]
            made = network.answers(tf.constant(done[:final] / (divisor * both[start:end])))
            ids.append(made["ids"].numpy())
            moved(min(top, height) * width + min(final, height - top) * min(end, width))
            shares += [made["probabilities"].numpy().astype(np.float16)] if "probabilities" in made else []
        above = below
        rows = min(final, height - top)
        if rows > 0:
            yield Strip(
                top,
                band[:rows, :width],
                np.concatenate(ids, axis=1)[:rows, :width],
                np.concatenate(shares, axis=1)[:rows, :width] if shares else None,
            )


def strips_of_pictures(
    network: Network,
    image: np.ndarray,
    pictures: Sequence[mosaics.Part],
    moved: Callable[[int], None] = lambda pixels: None,
) -> Iterator[Strip]:
    """The strips of an image whose pictures go through the network separately, those of the same size together.

    Args:
      network: the network to run.
      image: `[height, width, channels]`.
      pictures: see `Network.pictures`.
      moved: called now and then with the number of pixels done.
    """
    done = 0
    for band in mosaics.bands(pictures):
        top, bottom = band[0].top, max(part.top + part.height for part in band)
        made: dict[str, np.ndarray] = {}
        for part, values in _each(network, image, band):
            place = slice(part.top - top, part.top - top + part.height), part.place[1]
            for name, value in values.items():
                if name not in made:
                    made[name] = np.empty([bottom - top, image.shape[1], *value.shape[2:]], value.dtype)
                made[name][place] = value
            done += part.height * part.width
            moved(done)
        yield Strip(top, image[top:bottom], made["ids"], made.get("probabilities"))


def _each(network: Network, image: np.ndarray, band: Sequence[mosaics.Part]):
    """Each picture of a band with its "ids" and, if requested, "probabilities"."""
    sizes = collections.defaultdict(list)
    for part in band:
        sizes[part.height, part.width].append(part)
    for (height, width), alike in sizes.items():
        if not network.fits_whole(height, width):
            for part in alike:

                def read(top, bottom, left, right, pixels=image[part.place]):
                    return pixels[top:bottom, left:right]

                rows = list(strips(network, read, height, width))
                made = {"ids": np.concatenate([strip.ids for strip in rows])}
                if rows[0].probabilities is not None:
                    made["probabilities"] = np.concatenate([strip.probabilities for strip in rows])
                yield part, made
            continue
        size = network.batch(height, width)
        batches = [alike[at : at + size] for at in range(0, len(alike), size)]
        for at in range(0, len(batches), network.replicas):
            some = batches[at : at + network.replicas]
            results = network.whole([np.stack([image[part.place] for part in batch]) for batch in some])
            for batch, result in zip(some, results, strict=True):
                result = {name: value.numpy() for name, value in result.items()}
                if "probabilities" in result:
                    result["probabilities"] = result["probabilities"].astype(np.float16)
                for number, part in enumerate(batch):
                    yield part, {name: value[number] for name, value in result.items()}


def changed_whole(
    parts: Iterator[Strip], change: Callable[[np.ndarray], np.ndarray], read: Read, width: int
) -> Iterator[Strip]:
    """Strips whose ids are changed as a whole, from top to bottom: the ids are held, and the image is read again.

    Args:
      parts: the strips.
      change: a function from the ids of the whole image to others.
      read: returns parts of the image.
      width: the image's.
    """
    held = [(strip.top, strip.ids, strip.probabilities) for strip in parts]
    ids = change(np.concatenate([ids for _, ids, _ in held]))
    for top, before, probabilities in held:
        bottom = top + len(before)
        yield Strip(top, read(top, bottom, 0, width), ids[top:bottom], probabilities)


def _band(read: Read, band, moved: int, top: int, down: tile_grid.Axis, across: tile_grid.Axis, size) -> np.ndarray:
    """The rows of a row of tiles, `[side, extended width, channels]`; those in the row before are not read again."""
    columns = (0, across.extended)
    if band is None or moved >= down.side:
        return mirrored_read(read, (top, top + down.side), columns, size)
    new = mirrored_read(read, (top + down.side - moved, top + down.side), columns, size)
    return np.concatenate([band[moved:], new])


def _tiles(network: Network, band, weights, across: tile_grid.Axis, given) -> Iterator[tuple[int, int, np.ndarray]]:
    """For each tile of a row its start, the next one's start, and its weighted logits.

    Args:
      weights: those of the row, `[tile height]`.
    """
    spans = list(zip(across.starts, [*across.starts[1:], across.extended], across.weights, strict=True))
    batch, count = network.plan.batch, network.replicas
    todo = iter(spans)
    while some := list(itertools.islice(todo, batch * count)):
        parts = [band[:, start : start + across.side] for start, _, _ in some]
        places = [slice(at, at + batch) for at in range(0, len(parts), batch)]
        batches = [(np.stack(parts[place]), weights, np.stack([w for *_, w in some[place]])) for place in places]
        for at, logits in enumerate(network.tiles(batches, given)):
            for (start, end, _), tile in zip(some[at * batch :], logits.numpy(), strict=False):
                yield start, end, tile
