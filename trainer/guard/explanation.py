"""`explain` and `check`: a loss and its variables in, a report or an error out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import tensorflow as tf

from .capture.answer import Answer, Entry, entries_of, is_finite, is_tiny, plain_run
from .capture.state import preserved
from .causes.untracked import may_be_stray
from .diagnosis import diagnose
from .words.finding import MissingGradientError, Report


def explain(
    forward_loss: Callable,
    variables: Iterable,
    *,
    allow: Sequence[str] = (),
    allow_form: str = "explain(…, allow=[{!r}])",
) -> Report:
    """Reports which variables get no gradient, a zero or a non-finite one from a loss, and which line is to blame.

    The forward pass is run once as it is, and only if something is wrong again, recorded op by op. Variables and random
    generators are put back each time; what `forward_loss` does outside of TensorFlow (an iterator that it advances, a
    file that it writes) is done each time.

    Args:
      forward_loss: computes the scalar loss from nothing, as it runs under the tape.
      variables: what `tape.gradient` is asked for: Keras variables, `tf.Variable`s or tensors.
      allow: regular expressions; variables whose whole path one of them matches may have no gradient.
      allow_form: how the report writes what to allow, where another program asks (`"--allow='{}'"`).

    Returns:
      A report; `report.ok` where every variable has a gradient that is finite and not all zero, and the forward pass
      reads no trainable variable that was forgotten.

    Raises:
      TypeError: `forward_loss` is not callable, or `variables` holds something else.
      Exception: what `forward_loss` itself raised, where it has nothing to do with gradients.
    """
    if not callable(forward_loss):
        raise TypeError(
            "explain() takes a function without arguments that computes the loss, so that it can run under a tape: "
            f"explain(lambda: loss_fn(y, model(x)), variables)\nReceived: forward_loss={forward_loss!r}"
        )
    entries = entries_of(variables)
    with preserved():
        answer = plain_run(forward_loss, entries)
    report = Report((), len(entries)) if _healthy(answer, entries) else diagnose(forward_loss, entries, answer)
    return named(report, entries, allow_form).allowing(allow)


def named(report: Report, entries: Iterable[Entry], allow_form: str) -> Report:
    """The report with the paths of all variables, and with how a variable is allowed here."""
    return dataclasses.replace(report, listed=tuple(entry.path for entry in entries), allow_form=allow_form)


def check(forward_loss: Callable, variables: Iterable, *, allow: Sequence[str] = (), missing: str = "error") -> Report:
    """As `explain`, but raises if something is wrong.

    Args:
      forward_loss: computes the scalar loss, as for `explain`.
      variables: what the gradient is asked for.
      allow: regular expressions; variables whose whole path one of them matches may have no gradient.
      missing: "error" raises, "warn" prints the report and goes on, "off" does nothing at all.

    Returns:
      The report, without what is allowed.

    Raises:
      MissingGradientError: a ValueError with the report in its text, if `missing="error"`.
      ValueError: `missing` is not one of the three words, or `allow` is not a list of regular expressions.
    """
    if not wanted(missing):
        return Report()
    return enforce(explain(forward_loss, variables, allow_form="check(…, allow=[{!r}])"), allow, missing)


def wanted(missing: str) -> bool:
    """Whether to check at all.

    Raises:
      ValueError: `missing` is not "error", "warn" or "off".
    """
    if missing not in ("error", "warn", "off"):
        raise ValueError(f"missing is one of 'error', 'warn' and 'off'. Received: missing={missing!r}")
    return missing != "off"


def enforce(
    report: Report, allow: Sequence[str], missing: str, warn: Callable[[Report], None] = Report.print
) -> Report:
    """The report without what is allowed; raises or warns if something is left."""
    report = report.allowing(allow)
    if not report.ok and missing == "error":
        raise MissingGradientError(report)
    if not report.ok:
        warn(report)
    return report


def _healthy(answer: Answer, entries: Sequence[Entry]) -> bool:
    if answer.error is not None or not entries or not tf.is_tensor(answer.loss):
        return False
    if any(gradient is None for gradient in answer.gradients) or may_be_stray(answer.watched, entries):
        return False
    return is_finite(answer.loss) and all(is_finite(entry) and not is_tiny(entry) for entry in answer.gradients)
