"""Is the gradient the derivative of the loss? A finite-difference test along one direction, and where it fails.

A custom gradient with a wrong sign, a factor left out or a part dropped is finite, not zero and wrong: nothing else
notices. The test costs three forward passes and one backward pass, and the same for each layer where it fails.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tensorflow as tf

from .capture.answer import Entry, entries_of, is_finite, plain_run
from .capture.private import inner_variable
from .capture.recorder import Recording, record_run
from .capture.state import preserved
from .capture.trace import Op
from .causes.cut import is_custom, place_fields
from .explanation import named
from .search.lineage import Lineage
from .words.finding import Finding, Report

_STEPS = (1e-2, 5e-3)  # of the size of the variables; both have to agree, or the loss has a kink in between
_TOLERANCE = 0.05


@dataclasses.dataclass(frozen=True)
class Slope:
    """The derivative of a loss along one direction.

    Attributes:
      backward: what the gradient says, g . d.
      forward: what the loss does, (L(v + h d) - L(v - h d)) / 2h.
      reliable: whether two steps h agree, and the difference is above the rounding of the loss.
    """

    backward: float
    forward: float
    reliable: bool

    @property
    def agrees(self) -> bool:
        """Whether the two are equal within five percent, or too uncertain to say they are not."""
        gap = abs(self.backward - self.forward)
        return not self.reliable or gap <= _TOLERANCE * max(abs(self.backward), abs(self.forward), 1e-12)


def check_derivatives(forward_loss: Callable, variables: Iterable, *, seed: int = 0) -> Report:
    """Compares the gradient with finite differences of the loss, along one direction; names the layers that differ.

        report = check_derivatives(lambda: loss_fn(y, model(x, training=True)), model.trainable_variables)
        print(report)

    Args:
      forward_loss: computes the scalar loss from nothing, as for `explain`. Random numbers are the same in each run.
      variables: floating-point variables.
      seed: of the direction, which is the gradient's own and a random one in equal parts.

    Returns:
      A report; a finding of kind "wrong" for each custom gradient, or each set of variables, whose derivative is not
      that of the forward pass. A straight-through estimator is one, on purpose: `allow` it, or read on.

    Raises:
      ValueError: a gradient is missing or not finite; `explain` says why.
    """
    entries = entries_of(variables)
    with preserved():
        answer = plain_run(forward_loss, entries)
    if answer.error is not None:
        raise answer.error
    if any(gradient is None or not is_finite(gradient) for gradient in answer.gradients):
        raise ValueError(
            "check_derivatives() compares gradients that exist and are finite; some do not. Ask explain(forward_loss, "
            "variables) first."
        )
    gradients = [tf.convert_to_tensor(gradient) for gradient in answer.gradients]
    directions = _directions(entries, gradients, seed)
    whole = slope_along(forward_loss, entries, gradients, directions)
    if whole.agrees:
        note = f"Along one direction the gradient says {whole.backward:.4g}, the loss {whole.forward:.4g}"
        note += "." if whole.reliable else ": too close to a kink, or to rounding, to be sure."
        return named(Report((), len(entries), notes=(note,)), entries, "explain(…, allow=[{!r}])")
    wrong = []
    for index, entry in enumerate(entries):
        alone = [d if i == index else tf.zeros_like(d) for i, d in enumerate(directions)]
        part = slope_along(forward_loss, entries, gradients, alone)
        if not part.agrees:
            wrong.append((entry, part))
    findings = _findings(forward_loss, wrong or [(entry, whole) for entry in entries])
    return named(Report(tuple(findings), len(entries)), entries, "explain(…, allow=[{!r}])")


def slope_along(
    forward_loss: Callable, entries: Sequence[Entry], gradients: Sequence[tf.Tensor], directions: Sequence[tf.Tensor]
) -> Slope:
    """The derivative along a direction, from the gradient and from two differences of the loss."""
    pairs = zip(gradients, directions, strict=True)
    dots = [tf.reduce_sum(tf.cast(g, tf.float64) * tf.cast(d, tf.float64)) for g, d in pairs]
    backward = float(tf.add_n(dots))
    found, sizes = [], []
    for step in _STEPS:
        ahead, behind = (_loss_at(forward_loss, entries, directions, sign * step) for sign in (1.0, -1.0))
        found.append((ahead - behind) / (2.0 * step))
        sizes.append(abs(ahead - behind) / max(abs(ahead), abs(behind), 1e-30))
    rough, fine = found
    scale = max(abs(rough), abs(fine), abs(backward), 1e-12)
    smooth = abs(rough - fine) <= 0.02 * scale
    visible = sizes[1] > 1e-5 or abs(backward) * _STEPS[1] > 1e-4 * max(abs(ahead), 1e-30)
    return Slope(backward, fine, bool(np.isfinite(found).all()) and smooth and visible)


def _loss_at(forward_loss: Callable, entries: Sequence[Entry], directions: Sequence[tf.Tensor], step: float) -> float:
    with preserved():
        for entry, direction in zip(entries, directions, strict=True):
            variable = inner_variable(entry.variable)
            if hasattr(variable, "assign_add"):
                variable.assign_add(tf.cast(step * direction, variable.dtype))
        loss = forward_loss()
    return float(tf.add_n([tf.cast(tf.reduce_sum(part), tf.float64) for part in tf.nest.flatten(loss)]))


def _directions(entries: Sequence[Entry], gradients: Sequence[tf.Tensor], seed: int) -> list[tf.Tensor]:
    """Per variable: the gradient's own direction and a random one, each as long as the variable is large."""
    draw, found = np.random.default_rng(seed), []
    for entry, gradient in zip(entries, gradients, strict=True):
        value = tf.cast(tf.convert_to_tensor(inner_variable(entry.variable)), tf.float32)
        size = tf.maximum(tf.norm(value), 0.1)
        own = tf.cast(gradient, tf.float32)
        other = tf.constant(draw.standard_normal(value.shape), tf.float32)
        parts = [tf.math.divide_no_nan(part, tf.norm(part)) for part in (own, other)]
        found.append(size * (parts[0] + parts[1]) / 2.0)
    return found


def _findings(forward_loss: Callable, wrong: Sequence[tuple[Entry, Slope]]) -> list[Finding]:
    """A finding for each custom gradient that all of these variables pass through, or one finding without a line."""
    with preserved():
        recording = record_run(forward_loss, 0)
    customs = [op for op in recording.trace.ops if is_custom(op) and op.site is not None]
    lineage = Lineage(recording.trace) if recording.error is None else None
    by_op: dict[tuple, tuple[Op | None, list[str], list[Slope]]] = {}
    for entry, slope in wrong:
        op = _nearest(recording, lineage, entry, customs)
        place = (op.label, op.site.file, op.site.line) if op is not None else ()
        group = by_op.setdefault(place, (op, [], []))
        group[1].append(entry.path)
        group[2].append(slope)
    found = []
    for op, paths, slopes in by_op.values():
        worst = max(slopes, key=lambda slope: abs(slope.backward - slope.forward))
        detail = f"Along one direction the gradient says {worst.backward:.4g}, the loss itself {worst.forward:.4g}."
        if worst.forward and abs(worst.forward) > 1e-6 * abs(worst.backward):
            detail += f" Their ratio is {worst.backward / worst.forward:.3g}."
        else:
            detail += " The loss does not move at all: a straight-through estimator does that, on purpose."
        where = place_fields(op.site) if op is not None else {}
        words = f" The custom gradient of `{op.label}` is on the way." if op is not None and op.label else ""
        found.append(
            Finding("wrong", "wrong_derivative", paths, op_type=op and op.type, detail=detail + words, **where)
        )
    return found


def _nearest(recording: Recording, lineage: Lineage | None, entry: Entry, customs: Sequence[Op]) -> Op | None:
    """The custom gradient nearest to the loss on the way from a variable; it makes every variable before it wrong."""
    if lineage is None:
        return None
    behind = lineage.descends_from(entry.keys)
    through = [op for op in customs if set(op.results) & behind]
    return max(through, key=lambda op: op.order, default=None)
