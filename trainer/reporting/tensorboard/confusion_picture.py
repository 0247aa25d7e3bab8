"""The confusion matrix as a picture for TensorBoard; report.html has it as a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.reporting.panels import CARD_WIDTH

# Above this many classes a cell has no room for a number.
_MOST_NUMBERS = 16
_LONGEST_NAME = 20


def confusion_picture(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> np.ndarray:
    """Each row in per cent of the label's pixels: RGB uint8 `[height, width, 3]`.

    Args:
      confusion: pixels by (label, prediction); for classes that overlap a table of 2 x 2 each.
      classes: names, by class id.
    """
    # Imported here: it takes half a second, which a run without TensorBoard's pictures should not spend.
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = np.asarray(confusion, np.float64)
    if counts.ndim == 3:
        # Of the pixels of the class: missed and found.
        counts, columns = counts[:, 1], ("missed", "found")
    else:
        columns = classes
    classes, columns = (
        [name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…" for name in names]
        for names in (classes, columns)
    )
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(100.0 * counts, totals, out=np.zeros_like(counts), where=totals > 0)
    # TensorBoard's card, or twice as large, so that it is shrunk by a whole number.
    side = CARD_WIDTH / 100 * (1 if len(classes) <= 4 else 2)
    with matplotlib.rc_context({"font.size": 8, "text.parse_math": False}):
        figure = Figure(figsize=(side, side), dpi=100, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=100, aspect="auto")
        small = 8 if len(classes) <= 24 else 5
        axes.set_xticks(range(len(columns)), columns, rotation=90 if len(columns) > 4 else 0, fontsize=small)
        axes.set_yticks(range(len(classes)), classes, fontsize=small)
        axes.set_xlabel("prediction")
        axes.set_ylabel("label")
        axes.set_title("per cent of the label's pixels", fontsize=8)
        if len(classes) <= _MOST_NUMBERS:
            for row, column in np.ndindex(shares.shape):
                share = shares[row, column]
                text = "-" if not totals[row, 0] else f"{share:.1f}"
                color = "white" if share > 55 else "black"
                axes.text(column, row, text, ha="center", va="center", color=color, fontsize=8)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()
