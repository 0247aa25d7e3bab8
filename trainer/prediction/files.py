"""Runs many image files through a network: decoded ahead, equal sizes together, written while the next are computed.

One thread, the caller's, does the scheduling and runs the network; others decode and write. Waiting data are bounded in
bytes.
"""

from __future__ import annotations

import collections
import concurrent.futures as futures
import contextlib
import dataclasses
import functools
import os
import queue
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from configs.schema import Config
from trainer.data.images.rasters import Header, Raster, header, open_raster
from trainer.errors import UserError
from trainer.prediction.mosaics import Part
from trainer.prediction.network import Network
from trainer.prediction.outputs import Outputs, Written
from trainer.prediction.postprocessing import PostProcessing
from trainer.prediction.strips import Strip, changed_whole, strips, strips_of_pictures
from trainer.reporting.memory.out_of_memory import is_out_of_memory

# Headers read ahead of decoding; threads that decode, and as many that write.
_HEADERS, _THREADS = 64, max(2, min(8, os.cpu_count() or 2))
# Strips of a large image that wait to be written.
_STRIPS = 2


@dataclasses.dataclass(frozen=True)
class Done:
    """A finished image, or the reason why there is none.

    Attributes:
      path: the image's.
      pixels: their number; 0 if not even the header could be read.
      written: what was written, or None.
      trouble: the error of the file, or a lack of memory, or None.
      pictures: how many went through the network separately; see `trainer.prediction.mosaics`.
    """

    path: str
    pixels: int
    written: Written | None = None
    trouble: BaseException | None = None
    pictures: int = 1


@dataclasses.dataclass
class _Item:
    """An image in work. It has a `raster` once it is decoded; one read by windows is opened when it is due."""

    number: int
    path: str
    name: str
    found: Header | None = None
    raster: Raster | None = None
    pictures: Sequence[Part] = ()
    counted: int = 0  # its pixels counted in the progress


def predict_files(
    network: Network,
    items: Sequence[tuple[str, str]],
    outputs: Outputs,
    config: Config,
    *,
    postprocessing: PostProcessing | None = None,
    done: Callable[[Done], None],
    moved: Callable[[int, int], None] = lambda pixels, expected: None,
) -> None:
    """Predicts files and writes the results.

    Args:
      network: the network to run.
      items: path and name of the outputs, without extension, of each image.
      outputs: what to write, and where.
      config: `data` and `predict.ahead_mib` are read.
      postprocessing: that of the masks; an image too large for it fails.
      done: called for each image, in the order of `items`, when its outputs are written.
      moved: called now and then with the pixels done and the total expected from the headers read so far.

    Raises:
      OSError: an output cannot be written.
    """
    with contextlib.ExitStack() as stack:
        pools = [stack.enter_context(_pool()) for _ in range(2)]
        _Flow(network, items, outputs, config, postprocessing, *pools, done, moved).run()


@contextlib.contextmanager
def _pool() -> Iterator[futures.ThreadPoolExecutor]:
    pool = futures.ThreadPoolExecutor(_THREADS)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class _Flow:
    def __init__(self, network, items, outputs, config, postprocessing, decoders, writers, done, moved):
        self._network, self._outputs, self._data = network, outputs, config.data
        self._postprocessing = postprocessing or PostProcessing(classes=tuple(config.data.classes))
        self._decoders, self._writers, self._done, self._moved = decoders, writers, done, moved
        self._limit = config.predict.ahead_mib * 2**20
        self._todo = collections.deque(_Item(number, *item) for number, item in enumerate(items))
        self._looking: collections.deque = collections.deque()  # (item, future of its header)
        self._decoding: dict[futures.Future, _Item] = {}
        # By height, width and type; images cut into tiles are alone.
        self._ready: dict[tuple, list[_Item]] = {}
        self._writing: dict[futures.Future, list[_Item]] = {}
        self._held = 0
        self._finished: dict[int, Done] = {}
        self._reported, self._count, self._pixels, self._known, self._seen = 0, len(items), 0, 0, 0

    def run(self) -> None:
        while self._reported < self._count:
            self._look_ahead()
            self._collect()
            groups = self._due()
            if groups:
                self._compute(groups)
            elif self._reported < self._count:
                pending = [*self._decoding, *self._writing, *self._next_header()]
                futures.wait(pending, return_when=futures.FIRST_COMPLETED)

    # --- in

    def _look_ahead(self) -> None:
        """Starts reading headers, and decoding the images that fit in the bytes allowed to wait, in order."""
        while self._todo and len(self._looking) < _HEADERS:
            item = self._todo.popleft()
            self._looking.append((item, self._decoders.submit(header, item.path, self._data, self._limit)))
        while self._looking and self._looking[0][1].done():
            item, future = self._looking[0]
            try:
                item.found = future.result()
            except (UserError, OSError) as error:
                self._looking.popleft()
                self._finish(item, trouble=error)
                continue
            if self._held and self._held + self._size(item) > self._limit:
                return
            self._looking.popleft()
            self._seen, self._known = self._seen + 1, self._known + item.found.pixels
            self._held += self._size(item)
            if self._by_windows(item):
                self._ready["alone", item.number] = [item]
            else:
                self._decoding[self._decoders.submit(self._decoded, item.found)] = item

    def _next_header(self) -> list[futures.Future]:
        """The header that decoding waits for; None if it waits for space."""
        return [future for _, future in list(self._looking)[:1] if not future.done()]

    def _decoded(self, found: Header) -> tuple[Raster, list[Part]]:
        with open_raster(found, self._data, self._limit) as raster:
            return raster, self._network.pictures(raster.array)

    def _by_windows(self, item: _Item) -> bool:
        return item.found.facts is not None and item.found.nbytes > self._limit

    def _size(self, item: _Item) -> int:
        """Bytes of an image and its results while they wait."""
        if self._by_windows(item):
            return 0
        shares = 0 if self._outputs.wanted.probabilities == "none" else 2 * max(len(self._outputs.classes), 2)
        return item.found.nbytes + item.found.pixels * (1 + shares)

    def _collect(self) -> None:
        for future in [future for future in self._decoding if future.done()]:
            item = self._decoding.pop(future)
            try:
                item.raster, item.pictures = future.result()
            except (UserError, OSError, MemoryError) as error:
                self._finish(item, trouble=error)
                continue
            height, width = item.raster.height, item.raster.width
            whole = self._network.fits_whole(height, width) and len(item.pictures) == 1
            key = (height, width, item.raster.array.dtype) if whole else ("alone", item.number)
            self._ready.setdefault(key, []).append(item)
        for future in [future for future in self._writing if future.done()]:
            items = self._writing.pop(future)
            try:
                written = future.result()
            except Exception as error:
                # On an asynchronous device a lack of memory shows when the result is fetched.
                if not is_out_of_memory(error):
                    raise
                written = [error] * len(items)
            for item, outcome in zip(items, written, strict=True):
                self._finish(item, **{"trouble" if isinstance(outcome, BaseException) else "written": outcome})

    # --- through the network

    def _due(self) -> list[tuple]:
        """Groups to compute now, at most one for each replica: full ones, or others if no more images can come."""
        full = [key for key, items in self._ready.items() if len(items) >= self._batch(key)]
        waiting = sum(item.found.pixels for items in self._ready.values() for item in items)
        more = bool(self._decoding or self._next_header())
        if not full and (not more or waiting >= 2 * self._network.batch_pixels):
            full = list(self._ready)
        full.sort(key=lambda key: self._ready[key][0].number)
        alone = full[:1] if full and full[0][0] == "alone" else [key for key in full if key[0] != "alone"]
        return alone[: self._network.replicas]

    def _batch(self, key: tuple) -> int:
        return 1 if key[0] == "alone" else self._network.batch(*key[:2])

    def _compute(self, keys: list[tuple]) -> None:
        if keys[0][0] == "alone":
            (item,) = self._ready.pop(keys[0])
            self._compute_strips(item)
            return
        groups = []
        for key in keys:
            items, size = self._ready[key], self._batch(key)
            groups.append(items[:size])
            self._ready[key] = items[size:]
            if not self._ready[key]:
                del self._ready[key]
        # One dtype at a time: different dtypes need different traces.
        for kind in {items[0].raster.array.dtype for items in groups}:
            self._compute_whole([items for items in groups if items[0].raster.array.dtype == kind])

    def _compute_whole(self, groups: list[list[_Item]]) -> None:
        try:
            made = self._network.whole([_stacked([item.raster.array for item in items]) for items in groups])
        except (tf.errors.OpError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(groups) > 1 or len(groups[0]) > 1:
                for item in [item for items in groups for item in items]:
                    self._compute_whole([[item]])
            else:
                self._finish(groups[0][0], trouble=error)
            return
        for items, results in zip(groups, made, strict=True):
            self._writing[self._writers.submit(self._write_whole, items, results)] = items

    def _write_whole(self, items: list[_Item], made) -> list[Written]:
        made = {name: values.numpy() for name, values in made.items()}
        if "probabilities" in made:
            made["probabilities"] = made["probabilities"].astype(np.float16)
        written = []
        for number, item in enumerate(items):
            result = {name: values[number] for name, values in made.items()}
            ids = self._postprocessing(result["ids"])
            strip = Strip(0, item.raster.array, ids, result.get("probabilities"))
            written.append(self._outputs.write(item.name, item.raster, [strip], tiff=item.found.geo))
        return written

    def _compute_strips(self, item: _Item) -> None:
        """Computes a strip at a time, while the one before is written."""
        line: queue.Queue = queue.Queue(_STRIPS)
        writing = None
        try:
            self._postprocessing.check_size(item.found.pixels)
            with contextlib.ExitStack() as stack:
                raster = item.raster or stack.enter_context(open_raster(item.found, self._data, self._limit))
                tiff = item.found.geo or raster.array is None
                writing = self._writers.submit(self._write_strips, item.name, raster, line, tiff)
                size = (raster.height, raster.width)
                moved = functools.partial(self._tell, item)
                if len(item.pictures) > 1:
                    parts = strips_of_pictures(self._network, raster.array, item.pictures, moved)
                else:
                    parts = strips(self._network, raster.read, *size, moved)
                if self._postprocessing.of_whole_masks:
                    parts = changed_whole(parts, self._postprocessing, raster.read, raster.width)
                for strip in parts:
                    if not _put(line, strip, writing):
                        break
                _put(line, None, writing)
        except BaseException as error:
            if writing is not None:
                _put(line, error, writing)
                with contextlib.suppress(BaseException):
                    writing.result()
            known = isinstance(error, (UserError, OSError)) or is_out_of_memory(error)
            if not known or isinstance(error, KeyboardInterrupt):
                raise
            self._finish(item, trouble=error)
            return
        self._writing[writing] = [item]

    def _write_strips(self, name: str, raster: Raster, line: queue.Queue, tiff: bool) -> list[Written]:
        def taken() -> Iterator[Strip]:
            while (strip := line.get()) is not None:
                if isinstance(strip, BaseException):
                    raise strip
                yield strip

        return [self._outputs.write(name, raster, taken(), tiff=tiff)]

    # --- out

    def _finish(self, item: _Item, written: Written | None = None, trouble: BaseException | None = None) -> None:
        pixels = item.found.pixels if item.found is not None else 0
        if item.found is None:
            self._seen += 1
        else:
            self._held -= self._size(item)
        item.raster = None
        self._finished[item.number] = Done(item.path, pixels, written, trouble, max(len(item.pictures), 1))
        while self._reported in self._finished:
            self._reported += 1
            self._done(self._finished.pop(self._reported - 1))
        self._tell(item, pixels)

    def _tell(self, item: _Item, pixels: int) -> None:
        self._pixels += pixels - item.counted
        item.counted = pixels
        expected = self._known * self._count // max(self._seen, 1)
        self._moved(self._pixels, max(expected, self._pixels))


def _stacked(images: list[np.ndarray]) -> np.ndarray:
    """As np.stack, without a copy of a single array."""
    return images[0][None] if len(images) == 1 else np.stack(images)


def _put(line: queue.Queue, value, writing: futures.Future) -> bool:
    """Puts a value into a thread's queue; False if the thread has ended."""
    while not writing.done():
        with contextlib.suppress(queue.Full):
            line.put(value, timeout=0.5)
            return True
    return False
