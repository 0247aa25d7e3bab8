"""Draws docs/losses_*.svg: what losses do with an object that is missed, one that is displaced, and with a pixel.

python -m benchmarks.loss_pictures       # needs matplotlib
"""

from __future__ import annotations

import pathlib

import matplotlib

matplotlib.use("svg")

import keras  # noqa: E402
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import losses  # noqa: E402

DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs"
SIDE = 64
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2


def disc(radius: float, shift: float = 0.0) -> np.ndarray:
    """Class ids [1, SIDE, SIDE] of a disc whose centre is `shift` pixels to the right of the middle."""
    return ((ROWS**2 + (COLUMNS - shift) ** 2) <= radius**2).astype("int32")[None]


def logits(prediction: np.ndarray, certainty: float = 4.0) -> tf.Tensor:
    """[1, SIDE, SIDE, 2]: background and object, apart by 2 * certainty."""
    sign = np.where(prediction, certainty, -certainty)
    return tf.constant(np.stack([-sign, sign], -1), tf.float32)


FOREGROUND = {"include_background": False}
OF_REGIONS = {
    "cross_entropy": losses.cross_entropy,
    "dice": lambda label, y: losses.dice(label, y, **FOREGROUND),
    "tversky (0.3, 0.7)": lambda label, y: losses.tversky(label, y, alpha=0.3, beta=0.7, **FOREGROUND),
    "lovasz_softmax": lambda label, y: losses.lovasz_softmax(label, y, **FOREGROUND),
}


def missed(axes) -> None:
    """A disc of which only a smaller disc is predicted; for a small and for a large one."""
    for axis, radius in zip(axes, (4.0, 24.0), strict=True):
        label = disc(radius)
        radii = np.linspace(radius, 0.0, 17)
        share = [1 - disc(r).sum() / label.sum() for r in radii]
        for name, loss in OF_REGIONS.items():
            axis.plot(share, [float(loss(label, logits(disc(r)))) for r in radii], label=name)
        axis.set_title(f"object on {100 * label.mean():.1f} % of the pixels")
        axis.set_xlabel("share of it that is missed")
    axes[0].set_ylabel("loss")
    axes[0].legend()


def displaced(axis) -> None:
    """A disc that is predicted so many pixels beside its place; each loss as a share of its largest value."""
    label, shifts = disc(6.0), np.arange(0, 25)
    of_distance = {
        "cross_entropy": losses.cross_entropy,
        "dice": lambda label, y: losses.dice(label, y, **FOREGROUND),
        "boundary": lambda label, y: losses.boundary(label, y, **FOREGROUND),
        "hausdorff": lambda label, y: losses.hausdorff(label, y, **FOREGROUND),
    }
    for name, loss in of_distance.items():
        values = np.array([float(loss(label, logits(disc(6.0, shift)))) for shift in shifts])
        # Here cross-entropy and Dice are proportional: the dashes let both be seen.
        style = "--" if name == "cross_entropy" else "-"
        axis.plot(
            shifts, (values - values[0]) / (values.max() - values[0]), style, label=name, zorder=3 - (style == "-")
        )
    axis.set_xlabel("displacement of a disc of radius 6, pixels")
    axis.set_ylabel("loss, as a share of its largest value")
    axis.legend()


def one_pixel(axis) -> None:
    """The gradient with respect to a pixel's logit, by the probability that its class has."""
    probability = np.linspace(0.01, 0.99, 99)
    x = tf.constant(np.log(probability / (1 - probability)), tf.float32)
    label = np.ones((1, 1, 1), "int32")
    for name, loss in {
        "cross_entropy": losses.cross_entropy,
        "focal_softmax (gamma 2)": losses.focal_softmax,
        "generalised_cross_entropy (q 0.7)": losses.generalised_cross_entropy,
    }.items():
        gradients = []
        for value in x:
            with tf.GradientTape() as tape:
                tape.watch(value)
                y = tf.reshape(tf.stack([tf.zeros_like(value), value]), (1, 1, 1, 2))
                out = loss(label, y)
            gradients.append(abs(float(tape.gradient(out, value))))
        axis.plot(probability, gradients, label=name)
    axis.set_xlabel("probability of the pixel's class")
    axis.set_ylabel("size of the gradient at its logit")
    axis.legend()


def main() -> None:
    keras.utils.set_random_seed(0)
    plt.rcParams.update({"svg.hashsalt": "losses", "axes.grid": True, "grid.alpha": 0.3, "font.size": 9})
    for name, draw, panels in (("missed", missed, 2), ("displaced", displaced, 1), ("one_pixel", one_pixel, 1)):
        figure, axes = plt.subplots(1, panels, figsize=(4.2 * panels + 0.8, 3.2), layout="constrained")
        draw(axes)
        figure.savefig(DOCS / f"losses_{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
