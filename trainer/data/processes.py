"""Batches made by separate processes (`data.processes`), the same as those of a single process.

Python decodes and augments under one lock, which limits a process to a few hundred images a second. Here the standard
library's process pool makes a batch per call, in processes that are spawned (a fork of TensorFlow's threads can hang)
and open the data themselves by the config. A batch is a function of the seed and the step, so it does not matter which
process makes it; it travels in shared memory, written once and copied once.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import hashlib
import multiprocessing
import multiprocessing.connection
import os
import queue
import signal
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import reduction, shared_memory
from typing import Any

import numpy as np

from configs.schema import Config
from trainer.data.errors import DataError

_ALIGNED = 64


@dataclasses.dataclass(frozen=True)
class Opening:
    """All that is needed to open the data again, in another process.

    Attributes:
      config: the run's, completed from the data.
      data, augment: as `open_data` took them.
      examples: their `fingerprint`.
    """

    config: Config
    data: Any = None
    augment: Sequence[Any] = ()
    examples: str = ""


def fingerprint(source) -> str:
    """Identifies the examples of a source and their order."""
    return f"{source.length} {hashlib.sha256(chr(0).join(source.names).encode()).hexdigest()}"


@dataclasses.dataclass(frozen=True)
class _Place:
    """An array in a block of shared memory."""

    key: str
    shape: tuple[int, ...]
    dtype: str
    offset: int


class Processes:
    """A pool that makes batches of a source. Ends with the program, and its processes with this one, however it ends.

    Args:
      opening: the data that the processes open.
      shapes: of a batch's arrays by key; objects (text) travel beside the shared memory.
      types: their dtypes.
      count: the number of processes.

    Raises:
      DataError: data or augmentation cannot be passed to another process.
    """

    def __init__(self, opening: Opening, shapes: Mapping[str, tuple], types: Mapping[str, np.dtype], count: int):
        self._check(opening)
        offset, self._places = 0, []
        for key, shape in shapes.items():
            dtype = np.dtype(types[key])
            if dtype.kind != "O":
                self._places.append(_Place(key, tuple(shape), dtype.str, offset))
                offset += -(-int(np.prod(shape)) * dtype.itemsize // _ALIGNED) * _ALIGNED
        # A block for each concurrent call; the pipeline makes no more calls than there are blocks.
        self.at_a_time = count + max(2, count // 2)
        self._blocks = [shared_memory.SharedMemory(create=True, size=max(offset, 1)) for _ in range(self.at_a_time)]
        self._free: queue.SimpleQueue = queue.SimpleQueue()
        for block in self._blocks:
            self._free.put(block)
        share = dataclasses.replace(opening.config.data, cache_mib=opening.config.data.cache_mib // count)
        opening = dataclasses.replace(opening, config=dataclasses.replace(opening.config, data=share))
        context = multiprocessing.get_context("spawn")
        with _environment(CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3"):
            self._pool = ProcessPoolExecutor(count, context, initializer=_begin, initargs=(opening,))
            # All are started now, while the environment is set for them.
            for _ in range(count):
                self._pool.submit(_nothing)
        atexit.register(self.close)

    def batch(self, numbers: range, skipped: dict[str, str]) -> dict[str, np.ndarray]:
        """The examples with these numbers, as from `pipeline.make_batch`; those left out are added to `skipped`.

        Raises:
          DataError: a file cannot be used, or a process has ended.
        """
        block = self._free.get()
        try:
            others, left_out = self._pool.submit(_made, numbers, block.name, self._places).result()
            skipped.update(left_out)
            return {place.key: _array(block, place).copy() for place in self._places} | others
        except BrokenProcessPool as error:
            raise DataError(
                "A process that makes batches (data.processes) has ended. Where the script that trains is no program "
                'of its own, it has to begin its work under `if __name__ == "__main__":`, since each process reads it '
                "again. Or it was killed, for lack of memory as a rule: fewer, --config.data.processes=…, or "
                "--config.data.processes=0"
            ) from error
        finally:
            self._free.put(block)

    def close(self) -> None:
        """Ends the processes and frees the shared memory."""
        atexit.unregister(self.close)
        processes = list((self._pool._processes or {}).values())  # nothing public ends a pool that is still busy
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()
        for process in processes:
            process.join(timeout=5.0)
        for block in self._blocks:
            with contextlib.suppress(OSError, BufferError):
                block.unlink()
                block.close()
        self._blocks = []

    @staticmethod
    def _check(opening: Opening) -> None:
        for what, part in (("data", opening.data), ("augment", opening.augment)):
            try:
                reduction.ForkingPickler.dumps(part)  # as it is when sent
            except Exception as error:  # whatever the object raises
                count = opening.config.data.processes
                raise DataError(
                    f"config.data.processes={count}: {what} cannot be passed to another process "
                    f"({type(error).__name__}: {error}). Functions and classes have to be at the top of a module; or "
                    'name them, "package.module:name"; or --config.data.processes=0'
                ) from error


# The data that a process of the pool has opened, or the error.
_opened: list[Any] = []


def _nothing() -> None:
    return None


def _begin(opening: Opening) -> None:
    """In a process of the pool: opens the data, and ends with the process that started it."""
    # A signal to the whole group is meant for the program, which saves; these processes end with it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        from trainer.data.opening import open_data

        source = open_data(opening.config, opening.data, opening.augment).train
        if fingerprint(source) != opening.examples:
            raise DataError(
                "Opened once more, in a process of its own (data.processes), the training data hold other examples, or "
                "in another order: what lists them has to give the same each time, or --config.data.processes=0"
            )
        _opened[:] = source, opening.config
    except Exception as error:  # Reported by the first batch: the pool only reports that an initialiser failed.
        reason = error if isinstance(error, DataError) else DataError(f"{type(error).__name__}: {error}")
        _opened[:] = [reason]


def _end_with(parent) -> None:
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def _made(numbers: range, block_name: str, places: Sequence[_Place]) -> tuple[dict, dict[str, str]]:
    """Writes a batch to a block; returns the values that are not arrays of numbers, and the examples left out."""
    from trainer.data.pipeline import make_batch

    if len(_opened) == 1:
        raise _opened[0]
    source, config = _opened
    block = _attached(block_name)
    out = {place.key: _array(block, place) for place in places}
    batch = make_batch(source, config, numbers, out)
    return {key: value for key, value in batch.items() if key not in out}, dict(source.skipped)


_attached_blocks: dict[str, shared_memory.SharedMemory] = {}


def _attached(name: str) -> shared_memory.SharedMemory:
    if name not in _attached_blocks:
        _attached_blocks[name] = shared_memory.SharedMemory(name=name)
    return _attached_blocks[name]


def _array(block: shared_memory.SharedMemory, place: _Place) -> np.ndarray:
    return np.ndarray(place.shape, place.dtype, buffer=block.buf, offset=place.offset)


@contextlib.contextmanager
def _environment(**values: str):
    """Inside, environment variables are set for the processes that are started."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
