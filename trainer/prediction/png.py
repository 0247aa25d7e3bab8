"""PNG files written a few rows at a time, so that no picture need be in memory whole; Pillow only writes whole ones."""

from __future__ import annotations

import os
import struct
import zlib

import numpy as np

_GREY, _PALETTE = 0, 3
# Each row is stored as it is, or as its difference from the row above.
_AS_IT_IS, _UP = 0, 2


class PngWriter:
    """A PNG that gets its name when it is complete.

    Args:
      path: the file; its folder is created if necessary.
      height, width: those of the picture, in pixels.
      bits: 8 or 16 per value.
      palette: uint8 `[entries, 3]`: values are indices into it.
      level: zlib's, 1 fast to 9 small.
    """

    def __init__(self, path: str, height: int, width: int, *, bits: int = 8, palette=None, level: int = 6):
        kind = _PALETTE if palette is not None else _GREY
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        self._path, self._beside = path, beside(path)
        self._above = np.zeros([width * bits // 8], np.uint8)
        self._filter = _AS_IT_IS if palette is not None else _UP
        self._type = np.dtype(np.uint8 if bits == 8 else ">u2")
        self._file = open(self._beside, "wb")
        self._file.write(b"\x89PNG\r\n\x1a\n")
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
        if palette is not None:
            self._chunk(b"PLTE", np.asarray(palette, np.uint8).tobytes())
        # Masks are runs of one class: with Z_RLE zlib is three times as fast, and its files a little smaller.
        strategy = zlib.Z_RLE if palette is not None else zlib.Z_DEFAULT_STRATEGY
        self._packer = zlib.compressobj(level, zlib.DEFLATED, zlib.MAX_WBITS, 9, strategy)

    def write(self, rows: np.ndarray) -> None:
        """Appends rows `[n, width]`."""
        raw = np.ascontiguousarray(rows, self._type).view(np.uint8).reshape(len(rows), -1)
        lines = np.empty([len(rows), raw.shape[1] + 1], np.uint8)
        lines[:, 0] = self._filter
        if self._filter == _UP:
            np.subtract(raw[0], self._above, out=lines[0, 1:])
            np.subtract(raw[1:], raw[:-1], out=lines[1:, 1:])
            self._above = raw[-1].copy()
        else:
            lines[:, 1:] = raw
        packed = self._packer.compress(lines)
        if packed:
            self._chunk(b"IDAT", packed)

    def close(self) -> None:
        self._chunk(b"IDAT", self._packer.flush())
        self._chunk(b"IEND", b"")
        self._file.close()
        os.replace(self._beside, self._path)

    def abandon(self) -> None:
        """Leaves nothing behind; an earlier file of the name stays."""
        self._file.close()
        if os.path.exists(self._beside):
            os.remove(self._beside)

    def _chunk(self, name: bytes, content: bytes) -> None:
        self._file.write(struct.pack(">I", len(content)) + name + content)
        self._file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(name))))


def beside(path: str) -> str:
    """The temporary path of a file: hidden, so that it does not count as an image in its folder."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.writing-{os.getpid()}")
