"""Histograms of each layer's gradient norms, from what the step keeps on the device."""

from __future__ import annotations

import numpy as np


def report_gradients(run, step: int) -> None:
    """Writes a histogram for each layer of the norms at the last steps, up to `state.NORMS_KEPT` of them."""
    if run.journal is None or not run.devices.chief or run.state.norms is None:
        return
    norms = run.state.norms.numpy()
    # -1 where there was no step yet; and a step that was skipped has no norm to show.
    norms = norms[(norms >= 0).all(axis=1) & np.isfinite(norms).all(axis=1)]
    if len(norms):
        run.journal.writer.layer_norms(step, by_layer(norms, [variable.path for variable in run.state.trainable]))


def by_layer(norms: np.ndarray, paths: list[str]) -> dict[str, np.ndarray]:
    """Norms of variables `[steps, variables]` as norms of the layers that these belong to: layer -> `[steps]`."""
    squares: dict[str, np.ndarray] = {}
    for path, column in zip(paths, norms.T.astype(np.float64), strict=True):
        layer = path.rpartition("/")[0] or path
        squares[layer] = squares.get(layer, 0.0) + column**2
    return {layer: np.sqrt(total) for layer, total in squares.items()}
