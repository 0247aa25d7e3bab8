"""Polygons with whole-number corners, filled as OpenCV's `fillPoly` fills them: scan lines and the outline.

YOLO's trainers draw in this way. Edges are in fixed point with 16 fractional bits, outlines by Bresenham from left to
right; a line that leaves the image is clipped, and the new ends are rounded, which moves the line a little.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_ONE = 1 << 16


def fill_polygon(label: np.ndarray, points: Sequence[tuple[float, float]], value: int) -> None:
    """Sets the pixels of a polygon in `label` `[height, width]`; corners are truncated to whole numbers."""
    corners = [(int(x), int(y)) for x, y in points]
    height, width = label.shape
    edges = []
    for start, end in zip([corners[-1], *corners[:-1]], corners, strict=True):
        ends, visible = _cut(*start, *end, width - 1, height - 1)
        if visible:
            _draw_line(label, *ends, value)
        if start[1] == end[1]:
            continue
        x0, y0, x1, y1 = ends if ends[1] != ends[3] else (*start, *end)
        across, down = (x1 - x0) * _ONE, y1 - y0
        # Division that truncates towards zero, like C's.
        slope = abs(across) // abs(down) * (1 if (across < 0) == (down < 0) else -1)
        top, bottom = (start[1], end[1]) if start[1] < end[1] else (end[1], start[1])
        x, y = (x0, y0) if start[1] < end[1] else (x1, y1)
        edges.append((top, bottom, x * _ONE + (top - y) * slope, slope))
    if not edges:
        return
    top, bottom, x, slope = np.array(edges, np.int64).T
    rows = bottom - top
    edge = np.repeat(np.arange(len(rows)), rows)
    step = np.arange(len(edge)) - np.repeat(np.cumsum(rows) - rows, rows)
    y, x = top[edge] + step, x[edge] + slope[edge] * step
    order = np.lexsort((x, y))
    y, left, right = y[order][::2], (x[order][::2] + _ONE - 1) >> 16, x[order][1::2] >> 16
    for row, first, last in zip(y.tolist(), left.tolist(), right.tolist(), strict=True):
        if 0 <= row < height and last >= first and last >= 0:
            label[row, max(first, 0) : min(last, width - 1) + 1] = value


def _cut(x0: int, y0: int, x1: int, y1: int, right: int, bottom: int) -> tuple[tuple[int, int, int, int], bool]:
    """A line's ends inside the image, and whether any of it is inside; like OpenCV's `clipLine`."""

    def beyond(at: int, last: int) -> int:
        return (at < 0) + 2 * (at > last)

    first, second = (beyond(x0, right), beyond(y0, bottom)), (beyond(x1, right), beyond(y1, bottom))
    if not any((*first, *second)):
        return (x0, y0, x1, y1), True
    if first[0] & second[0] or first[1] & second[1]:
        return (x0, y0, x1, y1), False
    if first[1]:
        edge = 0 if first[1] == 1 else bottom
        x0, y0 = x0 + int((edge - y0) * (x1 - x0) / (y1 - y0)), edge
    if second[1]:
        edge = 0 if second[1] == 1 else bottom
        x1, y1 = x1 + int((edge - y1) * (x1 - x0) / (y1 - y0)), edge
    first, second = beyond(x0, right), beyond(x1, right)
    if first & second:
        return (x0, y0, x1, y1), False
    if first:
        edge = 0 if first == 1 else right
        x0, y0 = edge, y0 + int((edge - x0) * (y1 - y0) / (x1 - x0))
    if second:
        edge = 0 if second == 1 else right
        x1, y1 = edge, y1 + int((edge - x1) * (y1 - y0) / (x1 - x0))
    return (x0, y0, x1, y1), True


def _draw_line(label: np.ndarray, x0: int, y0: int, x1: int, y1: int, value: int) -> None:
    if x0 > x1:
        x0, y0, x1, y1 = x1, y1, x0, y0
    wide, high, down = x1 - x0, abs(y1 - y0), 1 if y1 >= y0 else -1
    long, short = max(wide, high), min(wide, high)
    steps = np.arange(long + 1)
    other = -((long - 2 * short * steps) // (2 * long)) if long else steps
    x, y = (steps, other) if wide >= high else (other, steps)
    label[y0 + down * y, x0 + x] = value
