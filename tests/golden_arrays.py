"""Arrays of the reference cases that are too large to store and given by a rule."""

import numpy as np


def generated_arrays(entry):
    """`(logits float32, target)` of a generated case; target is a mask `[b, *space, 1]`, or ids for "classes"."""
    shape = tuple(entry["shape"])
    batch, space, channels = shape[0], shape[1:-1], shape[-1]
    b = np.arange(batch).reshape((batch,) + (1,) * len(space))
    places = np.meshgrid(*(np.arange(size) for size in space), indexing="ij")

    def along(*factors):
        """The sum of the coordinates times their factors, `[1, *space]`."""
        return sum(factor * place for factor, place in zip(factors, places, strict=False))[np.newaxis]

    s, t = along(1, 1, 1), along(7, 13, 5)
    pattern = entry["pattern"]
    if pattern == "checker":
        y = (s + b) % 2 == 0
        logits = (2.0 * y - 1) * (1 + ((t + b) % 8) / 8)
    elif pattern in ("full", "empty", "one_pixel"):
        y = np.full((batch,) + space, pattern == "full")
        if pattern == "one_pixel":
            y[(slice(None),) + (0,) * len(space)] = True
        logits = np.full(y.shape, float(entry["logit"]))
    elif pattern == "classes":
        return _classes(along, b, channels)
    else:
        raise ValueError(f"{entry['name']}: unknown pattern of a generated case. Received: pattern={pattern!r}")
    y, logits = np.broadcast_to(y, (batch,) + space), np.broadcast_to(logits, (batch,) + space)
    spread = np.ones(channels, np.float32)
    return logits[..., np.newaxis].astype(np.float32) * spread, (y[..., np.newaxis] * spread).astype(np.uint8)


def _classes(along, b, channels):
    label = (along(3, 5, 11) + b) % channels
    base = along(1, 2, 5) + b
    logits = np.empty(label.shape + (channels,), np.float32)
    for c in range(channels):
        logits[..., c] = 3 * (label == c) + ((base + 3 * c) % 16) / 16
    return logits, label.astype(np.int32)
