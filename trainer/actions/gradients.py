"""Histograms of each layer's gradient norms, from what the step keeps on the device."""

from __future__ import annotations

import numpy as np


def report_gradients(run, step: int) -> None:
    """Writes a histogram for each layer of the norms at the last steps, up to `state.NORMS_KEPT` of them."""
    if run.journal is None or not run.devices.chief or run.state.norms is None:
        return
    norms = run.state.norms.numpy()
    layers = by_layer(norms, [variable.path for variable in run.state.trainable])
    if layers:
        run.journal.writer.layer_norms(step, layers)


def by_layer(norms: np.ndarray, paths: list[str]) -> dict[str, np.ndarray]:
    """Norms of variables `[steps, variables]` as norms of the layers that these belong to: layer -> `[its steps]`.

    Left out are steps that there were not yet or had no part for the layer (-1), and those that were skipped.
    """
    squares: dict[str, np.ndarray] = {}
    for path, column in zip(paths, norms.T.astype(np.float64), strict=True):
        layer = path.rpartition("/")[0] or path
        squares[layer] = squares.get(layer, 0.0) + np.where(column >= 0, column, np.nan) ** 2
    found = {layer: np.sqrt(total[np.isfinite(total)]) for layer, total in squares.items()}
    return {layer: values for layer, values in found.items() if len(values)}
