"""The second run: recorded op by op, searched, and turned into findings."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence

import tensorflow as tf

from .capture.answer import Answer, Entry, is_finite, is_tiny, is_zero, plain_run
from .capture.owners import trainable_at_heart
from .capture.recorder import Recording, is_value, record_run
from .capture.state import preserved
from .capture.trace import key
from .causes.cut import cut_findings, integer_finding, place_fields
from .causes.error import explain_exception, raising
from .causes.nonfinite import backward_failed_on_numbers, failed_on_numbers, nonfinite_findings
from .causes.second_derivative import in_words, inner_gradient_findings
from .causes.unreached import absent_findings
from .causes.untracked import untracked_findings
from .causes.zero import idle_findings, zero_findings
from .search.lineage import Lineage
from .search.reentry import lineage_with_python
from .words.finding import Finding, Report
from .words.replacements import with_replacements


def diagnose(forward_loss: Callable, entries: Sequence[Entry], answer: Answer) -> Report:
    """Runs the forward pass again, recorded, and reports what is wrong with it."""
    recording = _record(forward_loss, answer)
    if recording.error is not None:
        error = answer.forward_error or recording.error
        findings = inner_gradient_findings(recording, entries, error) or failed_on_numbers(recording, entries, error)
        return _or_raise(findings, entries, error, _behind_failure(recording, entries))
    lineage = lineage_with_python(recording, forward_loss, entries)
    findings = [] if entries else _empty(recording, lineage)
    missing = _missing(entries, answer, lineage)
    if any(_should_learn(entry, lineage) for entry in missing):
        whole = _record_whole(forward_loss, answer)  # functions that do something else when they run eagerly
        if whole.error is None:
            recording, lineage = whole, lineage_with_python(whole, forward_loss, entries)
    if missing:
        findings += missing_findings(recording, lineage, missing, entries, forward_loss)
    if entries:
        findings += untracked_findings(recording, lineage, entries)
    if answer.gradients is not None:
        findings += _numeric(recording, lineage, forward_loss, entries, answer)
    elif answer.backward_error is not None:
        raised = raising(lineage, entries) or backward_failed_on_numbers(lineage, entries, answer.backward_error)
        findings = _unless_named(raised, findings)
    if not findings and any(is_value(part) for part in tf.nest.flatten(answer.loss)):
        detail = "A part of the loss is a plain number, made by Python or NumPy; tape.gradient takes tensors alone."
        last = next(reversed(recording.trace.escapes), None)
        findings.append(
            Finding(
                "missing",
                "left_tensorflow",
                [entry.path for entry in entries],
                detail=detail,
                **place_fields(last and last.site),
            )
        )
    findings = with_replacements(in_words(recording, findings), forward_loss, entries)
    if answer.error is not None:
        return _or_raise(findings, entries, answer.error)
    return Report(tuple(findings), len(entries))


def _behind_failure(recording: Recording, entries: Sequence[Entry]) -> list[Entry]:
    """The variables that went into a function that raised, directly or through its inputs."""
    trace = copy.copy(recording.trace)
    handles = {key(part) for part in recording.failed if part.dtype == tf.resource}
    trace.loss = [part for part in recording.failed if part.dtype.is_floating]
    lineage = Lineage(trace)
    return [entry for entry in entries if handles & set(entry.keys) or lineage.distance_of(entry.keys) is not None]


def _or_raise(
    findings: Sequence[Finding], entries: Sequence[Entry], error: Exception, behind: Sequence[Entry] = ()
) -> Report:
    """A report on a program that raises, never an empty one. An error that has nothing to do with gradients is raised
    again."""
    if findings:
        return Report(tuple(findings), len(entries))
    report = explain_exception(error, None, [entry.variable for entry in behind or entries])
    if report is None:
        raise error
    return dataclasses.replace(report, variables_total=len(entries))


def _record(forward_loss: Callable, answer: Answer) -> Recording:
    with preserved():
        recording = record_run(forward_loss, answer.began)
    if recording.error is not None and answer.forward_error is None:
        recording = _record_whole(forward_loss, answer)  # code that only runs as a graph
    return recording


def _record_whole(forward_loss: Callable, answer: Answer) -> Recording:
    """A run in which a call of a `tf.function` stays the call of a graph, with all its branches."""
    with preserved():
        return record_run(forward_loss, answer.began, flat=False)


def _should_learn(entry: Entry, lineage: Lineage) -> bool:
    """Whether nothing in the recorded run explains why a variable has no gradient."""
    floats = entry.dtype.is_floating or entry.dtype.is_complex
    may_learn = floats and not entry.is_tensor and trainable_at_heart(entry.variable)
    return may_learn and lineage.distance_of(entry.keys) == 0


def _numeric(recording, lineage: Lineage, forward_loss, entries: Sequence[Entry], answer: Answer) -> list[Finding]:
    """Findings for gradients that exist and are zero or not finite."""
    pairs = [(entry, g) for entry, g in zip(entries, answer.gradients, strict=True) if g is not None]
    broken = [entry for entry, gradient in pairs if not is_finite(gradient)]
    zeros = [entry for entry, gradient in pairs if is_zero(gradient)]
    tiny = [entry for entry, gradient in pairs if is_tiny(gradient)]
    findings = []
    if tiny:  # zero by the shape of something, however the processor rounds
        shaped = Lineage(recording.trace, flat=True)
        flat = [entry for entry in tiny if shaped.distance_of(entry.keys) and lineage.distance_of(entry.keys) == 0]
        findings += cut_findings(shaped, flat, kind="zero")
        zeros = [entry for entry in zeros if entry not in flat]
    if broken or not all(is_finite(part) for part in tf.nest.flatten(answer.loss) if tf.is_tensor(part)):
        findings += nonfinite_findings(recording, lineage, broken, entries)
    if zeros:
        learning = [entry for entry, _ in pairs if entry not in zeros and entry not in tiny]
        findings += zero_findings(
            recording, lineage, zeros, learning, lambda: _after_a_step(forward_loss, entries, answer)
        )
        idle = [entry for entry in zeros if lineage.distance_of(entry.keys) is None]
        if idle:
            whole = _record_whole(forward_loss, answer)
            findings += idle_findings(Lineage(whole.trace), idle) if whole.error is None else []
    return findings


def _after_a_step(forward_loss: Callable, entries: Sequence[Entry], answer: Answer) -> set[str]:
    """The variables that have a gradient after the others took a small step against theirs."""
    with preserved():
        for entry, gradient in zip(entries, answer.gradients, strict=True):
            if gradient is None or entry.is_tensor or is_zero(gradient) or not is_finite(gradient):
                continue
            value, slope = tf.convert_to_tensor(entry.variable), tf.convert_to_tensor(gradient)
            size = tf.maximum(tf.reduce_max(tf.abs(value)), tf.cast(0.1, value.dtype))
            entry.variable.assign(value - tf.cast(0.01, value.dtype) * size * slope / tf.reduce_max(tf.abs(slope)))
        again = plain_run(forward_loss, list(entries))
    if again.gradients is None:
        return set()
    pairs = zip(entries, again.gradients, strict=True)
    return {entry.path for entry, gradient in pairs if gradient is not None and not is_zero(gradient)}


def _unless_named(first: list[Finding], others: list[Finding]) -> list[Finding]:
    known = {(finding.op_type, finding.file, finding.line) for finding in first}
    return first + [other for other in others if (other.op_type, other.file, other.line) not in known]


def _missing(entries: Sequence[Entry], answer: Answer, lineage: Lineage) -> list[Entry]:
    if answer.gradients is not None:
        return [entry for entry, gradient in zip(entries, answer.gradients, strict=True) if gradient is None]
    return [entry for entry in entries if lineage.distance_of(entry.keys) != 0]


def missing_findings(
    recording, lineage: Lineage, missing: Sequence[Entry], entries: Sequence[Entry], forward_loss
) -> list[Finding]:
    """Findings for variables whose gradient is None."""
    findings, cut, absent, frozen, unwatched = [], [], [], [], []
    for entry in missing:
        distance = lineage.distance_of(entry.keys)
        if not entry.is_tensor and not trainable_at_heart(entry.variable):
            frozen.append(entry)
        elif distance is None:
            absent.append(entry)
        elif not (entry.dtype.is_floating or entry.dtype.is_complex):
            findings.append(integer_finding(lineage, entry))
        elif distance:
            cut.append(entry)
        else:
            unwatched.append(entry)
    if absent:
        by_shape, absent = _by_shape_alone(recording, absent)
        findings += by_shape
    if frozen:
        findings.append(
            Finding(
                "missing",
                "not_trainable",
                [entry.path for entry in frozen],
                detail="They were made with trainable=False, so no tape watches them.",
            )
        )
    findings += cut_findings(lineage, cut)
    if absent:
        findings += absent_findings(recording, lineage, absent, entries, forward_loss)
    if unwatched:
        findings.append(Finding("missing", "outside_tape", [entry.path for entry in unwatched], detail=_UNWATCHED))
    return findings


def _by_shape_alone(recording: Recording, absent: Sequence[Entry]) -> tuple[list[Finding], list[Entry]]:
    """Findings for variables of which the loss reads only a shape, a size or a count, and the other variables."""
    wide = Lineage(recording.trace, shapes=True)
    found = [entry for entry in absent if wide.distance_of(entry.keys)]
    return cut_findings(wide, found), [entry for entry in absent if entry not in found]


_UNWATCHED = (
    "The loss is computed from them, but the tape does not watch them: it watches variables made with trainable=True, "
    "and tensors only after `tape.watch(tensor)`."
)


def _empty(recording: Recording, lineage: Lineage) -> list[Finding]:
    strays = untracked_findings(recording, lineage, ())
    if strays:
        return strays
    return [Finding("missing", "not_trainable", detail="The list of variables is empty, and every layer is frozen.")]
