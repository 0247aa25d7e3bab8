"""How much memory the run has used so far, on the host and on each device that reports it."""

from __future__ import annotations

import sys

import tensorflow as tf

from trainer.reporting import tags

try:
    import resource
except ModuleNotFoundError:  # Windows
    resource = None

_GIB = 2**30


def memory_in_use() -> dict[str, float]:
    """Peaks since the process began, in GiB: "memory/host", and "memory/GPU:0" … if there are GPUs."""
    found = {}
    if resource is not None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # Linux counts in KiB, macOS in bytes.
        found[f"{tags.MEMORY}/host"] = peak * (1 if sys.platform == "darwin" else 1024) / _GIB
    for device in tf.config.list_logical_devices("GPU"):
        name = device.name.split("device:")[-1]
        found[f"{tags.MEMORY}/{name}"] = tf.config.experimental.get_memory_info(name)["peak"] / _GIB
    return found
