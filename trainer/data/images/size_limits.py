"""How large an image may be, by what its file can hold and what fits in memory."""

from __future__ import annotations

import contextlib
import os

# A photograph or a map has about ten decoded bytes for each byte of its file; with far more it is hardly a picture, or
# is of one colour. Read by windows it only costs time.
_BYTES_FOR_EACH, _BYTES_FOR_EACH_BY_WINDOWS = 200, 2000
# Decoding holds an image about three times: in the decoder, as an array, and converted.
_COPIES = 3


def trouble(width: int, height: int, depth: int, length: int, max_pixels: int, *, by_windows: bool = False) -> str:
    """Why an image of more than `max_pixels` is refused; empty if it is not.

    Args:
      width, height: of the image.
      depth: bits a pixel.
      length: of its file, in bytes.
      max_pixels: up to this size nothing is checked.
      by_windows: whether it is read in parts, and need not fit in memory.
    """
    pixels = width * height
    if pixels <= max_pixels:
        return ""
    size = f"{width} x {height} = {pixels:,} pixels from a file of {length:,} bytes"
    decoded = pixels * depth // 8
    if decoded > length * (_BYTES_FOR_EACH_BY_WINDOWS if by_windows else _BYTES_FOR_EACH):
        return (
            f"{size}, {decoded // max(length, 1):,} for each, and at most {max_pixels:,} are accepted of what looks "
            f"like a decompression bomb.\n  If that is right: --config.data.max_pixels={pixels}"
        )
    memory = available_memory()
    if by_windows or memory is None or decoded * _COPIES <= memory:
        return ""
    return (
        f"{size} take {decoded * _COPIES / 2**30:.1f} GiB to decode, and {memory / 2**30:.1f} GiB of memory are free. "
        "Prediction reads TIFF files of several strips or tiles by windows: save it as such a file."
    )


def available_memory() -> int | None:
    """Bytes that this process can still use, of the machine or of its container; None where that is unknown."""
    found = []
    with contextlib.suppress(OSError, ValueError, StopIteration), open("/proc/meminfo", encoding="utf-8") as file:
        found.append(1024 * int(next(line for line in file if line.startswith("MemAvailable")).split()[1]))
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        with (
            contextlib.suppress(OSError, ValueError),
            open(limit, encoding="utf-8") as most,
            open(used, encoding="utf-8") as now,
        ):
            found.append(max(0, int(most.read()) - int(now.read())))
    if not found and hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)
