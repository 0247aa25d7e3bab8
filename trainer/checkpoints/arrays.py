"""One file of named arrays in NumPy's own format, without pickle, for every numeric type of TensorFlow."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

import numpy as np


def write_arrays(path: str, arrays: Mapping[str, np.ndarray]) -> dict[str, list]:
    """Writes the arrays to a new file and flushes it to the disk.

    Returns:
      What `read_arrays` needs to know: name -> [shape, type].

    Raises:
      OSError: the disk is full or not writable.
      ValueError: an array holds something other than numbers.
    """
    described = {}
    for name, array in arrays.items():
        if array.dtype.hasobject or array.dtype.kind in "SU":
            raise ValueError(f"The variable {name!r} holds {array.dtype}, which is not a number: it cannot be saved.")
        described[name] = [list(array.shape), str(array.dtype)]
    with open(path, "wb") as file:
        np.savez(file, **{_key(name): _plain(array) for name, array in arrays.items()})
        to_disk(file)
    return described


def read_arrays(path: str, described: Mapping[str, list]) -> dict[str, np.ndarray]:
    """Reads what `write_arrays` wrote: the arrays by name."""
    with np.load(path, allow_pickle=False) as file:
        return {name: _typed(file[_key(name)], *shape_and_type) for name, shape_and_type in described.items()}


def file_digest(path: str) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def to_disk(file) -> None:
    """Waits until an open file is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def _key(name: str) -> str:
    # np.savez takes its arrays as keyword arguments, and "file" is one of its own.
    return f"v/{name}"


def _is_numpys(dtype: np.dtype) -> bool:
    # bfloat16 and the 8-bit floats are ml_dtypes'; NumPy's format would forget which they were.
    return dtype.kind in "biufc" and dtype.isbuiltin == 1


def _plain(array: np.ndarray) -> np.ndarray:
    return array if _is_numpys(array.dtype) else np.frombuffer(array.tobytes(), np.uint8)


def _typed(array: np.ndarray, shape: list[int], name: str) -> np.ndarray:
    try:
        dtype = np.dtype(name)
    except TypeError:
        import ml_dtypes  # it makes NumPy know these names; a program that has imported TensorFlow has done so

        dtype = np.dtype(getattr(ml_dtypes, name))
    return array if _is_numpys(dtype) else np.frombuffer(array.tobytes(), dtype).reshape(shape)
