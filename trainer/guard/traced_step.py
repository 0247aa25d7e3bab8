"""The check that a training step makes while it is traced: it reads the graph and adds nothing to it."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Sequence

import tensorflow as tf

from .capture import graphs
from .capture.answer import Entry, entries_of
from .capture.owners import Read, handles_of, trainable_at_heart
from .capture.private import inner_variable
from .capture.state import subclasses
from .capture.trace import Op, Trace
from .causes.cut import cut_findings, integer_finding, place_fields
from .causes.untracked import is_stray, may_be_stray
from .explanation import enforce, named, wanted
from .search.lineage import Lineage
from .search.probe import Kind, probe
from .search.structure import is_flat_alone
from .words.finding import Finding, Report, path_of


@tf.autograph.experimental.do_not_convert  # it runs inside the user's tf.function, but is not part of it
def check_traced(
    loss: tf.Tensor,
    variables: Iterable,
    gradients: Sequence,
    *,
    watched: Iterable[tf.Variable] = (),
    allow: Sequence[str] = (),
    missing: str = "error",
    warn: Callable[[Report], None] = Report.print,
    allow_form: str = "check_traced(…, allow=[{!r}])",
    reads: Sequence[Read] | None = None,
) -> Report:
    """Checks a step while it is traced, after `tape.gradient`, inside a strategy's replica or outside.

    Args:
      loss: the loss in the graph being built, scaled or not.
      variables: the variables that `tape.gradient` got.
      gradients: what `tape.gradient` returned, with its Nones, in the same order.
      watched: `tape.watched_variables()`, to find trainable variables that nobody listed.
      allow: regular expressions; variables whose whole path one of them matches may have no gradient.
      missing: "error" raises, "warn" calls `warn` and goes on, "off" does nothing.
      warn: called in each trace with a report that does not end the run; prints it to standard error by default.
      allow_form: how the report writes what to allow, for another program (`"--allow='{}'"`).

      reads: what `reads()` recorded of the forward pass. Without it an unlisted variable counts as forgotten only where
        no layer or module knows it and a layer's call reads it.

    Returns:
      The report, without what is allowed. It cannot hold a zero or NaN that only shows in numbers: there are none yet.

    Raises:
      MissingGradientError: something is wrong and `missing="error"`.
    """
    if not wanted(missing):
        return Report()
    entries = entries_of(variables)
    report = named(_report(loss, entries, list(gradients), tuple(watched), reads), entries, allow_form)
    return enforce(report, allow, missing, warn)


def lineage_findings(trace: Trace, entries: Sequence[Entry], lacking: Sequence[Entry]) -> list[Finding]:
    """Findings for the variables of a graph whose gradient is None."""
    lineage = Lineage(trace)
    findings, cut, unread, dropped, frozen, unwatched = [], [], [], [], [], []
    for entry in lacking:
        distance = lineage.distance_of(entry.keys)
        if not entry.is_tensor and not trainable_at_heart(entry.variable):
            frozen.append(entry)
        elif distance is None:
            (dropped if _reads(trace, entry) else unread).append(entry)
        elif not (entry.dtype.is_floating or entry.dtype.is_complex):
            findings.append(integer_finding(lineage, entry))
        else:
            (cut if distance else unwatched).append(entry)
    findings += cut_findings(lineage, cut)
    if len(unread) + len(dropped) == len(entries) and not _any_variable(lineage):
        op = next((trace.producers[k] for k in lineage.distance if k in trace.producers), None)
        detail = "No variable has any influence on the value of the loss."
        return [_finding("constant_loss", [*unread, *dropped], detail, op), *findings]
    first = next((op for entry in dropped for op in _reads(trace, entry)), None)
    outside = next((op for entry in unwatched for op in _reads(trace, entry)), None)
    for cause, group, detail, op in (
        ("not_used", dropped, "The forward pass reads them, and drops what it computes before the loss.", first),
        ("not_used", unread, "The forward pass never reads them.", None),
        ("not_trainable", frozen, "They were made with trainable=False, so no tape watches them.", None),
        (
            "outside_tape",
            unwatched,
            "The loss is computed from them where the tape did not record: before it was opened, or inside "
            "tape.stop_recording().",
            outside,
        ),
    ):
        if group:
            findings.append(_finding(cause, group, detail, op))
    return findings


def _report(
    loss, entries: Sequence[Entry], gradients: Sequence, watched: Sequence[tf.Variable], reads: Sequence[Read] | None
) -> Report:
    lacking = [entry for entry, gradient in zip(entries, gradients, strict=True) if gradient is None]
    graph = getattr(loss, "graph", None) if not hasattr(loss, "numpy") else None
    if graph is None:
        return Report(_eager_findings(lacking), len(entries))
    if not lacking and not may_be_stray(watched, entries) and not may_hide_zeros(loss):
        return Report((), len(entries))
    trace = graphs.trace_of(graph)
    trace.loss = loss
    findings = lineage_findings(trace, entries, lacking) if lacking else []
    strict = Lineage(trace, zeros_cost=True, flat=True)
    held = [entry for entry in entries if entry not in lacking and (strict.distance_of(entry.keys) or 0) > 0]
    findings += _zeros(strict, held)
    findings += _untracked(strict, entries, watched, reads)
    return Report(tuple(findings), len(entries))


def may_hide_zeros(loss: tf.Tensor) -> bool:
    """Whether the loss has an ancestor at which a gradient may become zeros: a branch, a loop, a call, a sign.

    Without one, a gradient that is not None cannot be zero by construction. A healthy step costs no more than this.
    """
    seen, queue = {loss.op}, [loss.op]
    while queue:
        operation = queue.pop()
        if _answers_zeros(operation):
            return True
        for tensor in operation.inputs:
            if tensor.op not in seen:
                seen.add(tensor.op)
                queue.append(tensor.op)
    return False


def _answers_zeros(operation: tf.Operation) -> bool:
    if operation.type in graphs.OPENED or is_flat_alone(operation):
        return True
    name = operation.type
    if name not in _zero_types or name == "IdentityN":  # two custom gradients share no more than this name
        kinds = probe(Op(name, tuple(operation.inputs), tuple(operation.outputs), operation=operation))
        _zero_types[name] = any(Kind.ZERO in row and Kind.PASS not in row for row in kinds)
    return _zero_types[name]


_zero_types: dict[str, bool] = {}


def _zeros(lineage: Lineage, held: Sequence[Entry]) -> list[Finding]:
    """Findings for gradients that are zero by construction: from a sign, or a None inside a branch or a loop."""
    return cut_findings(lineage, held, kind="zero")


def _untracked(
    lineage: Lineage, entries: Sequence[Entry], watched: Sequence[tf.Variable], reads: Sequence[Read] | None
) -> list[Finding]:
    ours = {k for entry in entries for k in entry.keys}
    others = [v for v in watched if not ours & set(handles_of(v)) and lineage.distance_of(handles_of(v)) == 0]
    known = _known_to_keras() if others else {}
    by_line: dict[tuple, tuple[list[str], Op | None]] = {}
    for variable in others:
        keys = set(handles_of(variable))
        named = next((known[k] for k in keys if k in known), variable)
        op = next((op for k in keys for op in lineage.trace.readers.get(k, ())), None)
        if reads is None:
            stray = not keys & known.keys() and op is not None and _inside_a_layer(op.operation)
        else:
            stray = is_stray(keys, _reading(lineage.trace, keys, reads), ours, ("",))
        if stray and getattr(named, "trainable", True):
            site = op and op.site
            by_line.setdefault((site and site.file, site and site.line), ([], op))[0].append(path_of(named))
    return [
        Finding("untracked", "untracked_variable", paths, **place_fields(op and op.site))
        for paths, op in by_line.values()
    ]


def _reading(trace: Trace, keys: set[int], reads: Sequence[Read]) -> list[Read]:
    """The ops that read a variable, whose input in the graph is the variable's placeholder."""
    return [read for read in reads if keys & {trace.root(handle) for handle in read.handles}]


def _inside_a_layer(operation: tf.Operation | None) -> bool:
    """Whether some Keras layer's call ran an op, by the op's traceback."""
    layers = os.path.join("keras", "src", "layers", "layer.py")
    frames = operation.traceback or () if operation is not None else ()
    return any(name == "__call__" and file.endswith(layers) for file, _, name, *_ in frames)


def _known_to_keras() -> dict[int, object]:
    """All Keras variables of the process by handle. A TensorFlow variable does not know the Keras one around it."""
    import keras

    found, kinds = {}, subclasses(keras.Variable)
    for thing in gc.get_objects():
        if type(thing) in kinds and inner_variable(thing) is not None:
            found.update(dict.fromkeys(handles_of(thing), thing))
    return found


def _eager_findings(lacking: Sequence[Entry]) -> list[Finding]:
    if not lacking:
        return []
    detail = "This step runs eagerly, so there is no graph to search; explain() says why."
    return [Finding("missing", "not_used", [entry.path for entry in lacking], detail=detail)]


def _reads(trace: Trace, entry: Entry) -> list[Op]:
    return [op for k in entry.keys for op in trace.readers.get(k, ())]


def _any_variable(lineage: Lineage) -> bool:
    return any(lineage.distance_of([handle]) is not None for handle in lineage.trace.readers)


def _finding(cause: str, group: Sequence[Entry], detail: str, op: Op | None) -> Finding:
    return Finding("missing", cause, [entry.path for entry in group], detail=detail, **place_fields(op and op.site))
