"""Variables without a path to the loss: never read, read and dropped, replaced, computed before the tape."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import keras
import tensorflow as tf

from ..capture.answer import Entry
from ..capture.owners import handles_of, trainable_of, variables_of
from ..capture.recorder import Recording
from ..capture.retrace import Retraced, retrace
from ..capture.trace import differentiable
from ..search.lineage import FLOAT_LOSS, Lineage, loss_keys
from ..words.finding import Finding, path_of
from . import before_the_tape as outside
from .cut import cut_findings, place_fields
from .derived import derived_findings


def absent_findings(
    recording: Recording, lineage: Lineage, absent: Sequence[Entry], entries: Sequence[Entry], forward_loss
) -> list[Finding]:
    """Findings for variables without a path to the loss.

    Args:
      recording: the recorded run.
      lineage: its search.
      absent: the variables in question.
      entries: the whole list.
      forward_loss: the callable, for the names in it.
    """
    readers = recording.trace.readers
    read = [entry for entry in absent if any(k in readers for k in entry.keys)]
    unread = [entry for entry in absent if entry not in read]
    others = _other_variables(recording, lineage, entries)
    steering, read = _steering(recording, read)
    if steering and not read and not unread:
        return steering
    absent = [*read, *unread]
    if len(absent) == len(entries) and not others:
        return _nothing_reaches(recording, lineage, read, unread, forward_loss)
    findings = list(steering)
    if read:
        findings.append(_dropped(recording, read))
    derived = derived_findings(recording, lineage, unread)
    findings += derived
    unread = [entry for entry in unread if not any(entry.path in finding.variables for finding in derived)]
    if unread:
        findings += _unread(recording, lineage, unread, entries, others, forward_loss)
    return findings


def _nothing_reaches(recording, lineage, read, unread, forward_loss) -> list[Finding]:
    """No variable has any influence on the loss, which is made of labels and constants, or of tensors from before."""
    derived = derived_findings(recording, lineage, unread) if not read else []
    if derived and {path for finding in derived for path in finding.variables} == {entry.path for entry in unread}:
        return derived
    if not read:
        made = outside.computed_before(recording, lineage, forward_loss)
        if made is not None:
            return [_before_the_tape(unread, made)]
    paths = [entry.path for entry in (*read, *unread)]
    return [_constant(recording, paths, retrace(forward_loss))]


def _steering(recording: Recording, read: Sequence[Entry]) -> tuple[list[Finding], list[Entry]]:
    """Findings for variables that only decide which branch Python takes, and the other variables."""
    findings, left = [], list(read)
    for escape in recording.trace.escapes:
        if not left or differentiable(escape.tensor):
            continue
        trace = copy.copy(recording.trace)
        trace.loss = escape.tensor
        choice = Lineage(trace)
        steering = [entry for entry in left if choice.distance_of(entry.keys)]
        findings += cut_findings(choice, steering)
        left = [entry for entry in left if entry not in steering]
    return findings, left


def _constant(recording: Recording, paths: Sequence[str], graph: Retraced) -> Finding:
    """The finding for a loss that depends on no variable."""
    if graph.escape_site is not None:
        return Finding("missing", "left_tensorflow", paths, detail=f"{graph.error}", **place_fields(graph.escape_site))
    keys = loss_keys(recording.loss)
    op = next((recording.trace.producers[k] for k in keys if k in recording.trace.producers), None)
    if not keys:
        detail = "forward_loss() returned None: is a `return` missing?"
    elif op is None and keys[0] == FLOAT_LOSS:
        detail = f"forward_loss() returned {type(recording.loss).__name__}, a plain number, not a tensor."
    else:
        detail = "No variable has any influence on the value of the loss."
    site = op.site if op is not None else graph.loss_site
    return Finding("missing", "constant_loss", tuple(paths), detail=detail, **place_fields(site))


def _dropped(recording: Recording, read: Sequence[Entry]) -> Finding:
    op = next(reader for entry in read for k in entry.keys for reader in recording.trace.readers.get(k, ()))
    return Finding(
        "missing",
        "not_used",
        [entry.path for entry in read],
        detail="The forward pass reads them, and drops what it computes from them before the loss.",
        **place_fields(op.site),
    )


def _unread(recording, lineage, unread, entries, others, forward_loss) -> list[Finding]:
    before = outside.computed_by_their_model(recording, lineage, forward_loss, unread)
    if before is not None:
        made, mine = before
        rest = [entry for entry in unread if entry not in mine]
        more = _unread(recording, lineage, rest, entries, others, forward_loss) if rest else []
        return [_before_the_tape(mine, made), *more]
    findings, left = [], []
    stale = len(unread) == len(entries) and others
    for entry in unread:
        twin = _twin(entry, others)
        (findings if stale or twin is not None else left).append(entry)
    replaced, findings = findings, []
    if replaced:
        findings.append(_replaced(replaced, others))
    orphans = _orphaned_layers(recording, left)
    if orphans:
        findings.append(
            Finding(
                "missing",
                "variable_replaced",
                [entry.path for entry in orphans],
                detail="Their layer was an attribute that another layer was assigned to later; Keras "
                "goes on listing the first one, and the forward pass calls the second.",
            )
        )
    left = [entry for entry in left if entry not in orphans]
    made = outside.computed_before(recording, lineage, forward_loss, certain=True) if left else None
    if made is not None:
        return [*findings, _before_the_tape(left, made)]
    if left:
        findings.append(
            Finding("missing", "not_used", [entry.path for entry in left], detail="The forward pass never reads them.")
        )
    return findings


def _before_the_tape(unread: Sequence[Entry], made: outside.Outside) -> Finding:
    return Finding(
        "missing", "outside_tape", [entry.path for entry in unread], detail=made.words, **place_fields(made.site)
    )


def _replaced(replaced: Sequence[Entry], others: Sequence) -> Finding:
    ours = _roots(entry.path for entry in replaced)
    theirs = _roots(path_of(variable) for variable in others)
    return Finding(
        "missing",
        "variable_replaced",
        [entry.path for entry in replaced],
        detail=f"The list holds variables of {ours}; the forward pass reads those of {theirs}, which are not in it.",
    )


def _roots(paths) -> str:
    names = list(dict.fromkeys(path.partition("/")[0] for path in paths))
    shown = ", ".join(f"'{name}'" for name in names[:4])
    return shown + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _other_variables(recording: Recording, lineage: Lineage, entries: Sequence[Entry]) -> list:
    """Trainable variables that the loss is connected to, and that are not in the list."""
    ours = {k for entry in entries for k in entry.keys}
    found = []
    for variable in recording.tape.watched_variables():
        keys = handles_of(variable)
        if not ours & set(keys) and lineage.distance_of(keys) is not None:
            found.append(keras_variable(recording, variable))
    return found


def keras_variable(recording: Recording, variable: tf.Variable):
    """The Keras variable around a TensorFlow one, if a running layer has it."""
    keys = set(handles_of(variable))
    for read in recording.reads:
        if keys & set(read.handles):
            for holder in reversed(read.holders):
                for known in variables_of(holder):
                    if keys & set(handles_of(known)):
                        return known
    return variable


def _twin(entry: Entry, others: Sequence):
    """A variable of the same last name and shape that is read instead of this one."""
    if entry.is_tensor:
        return None
    name = entry.path.rpartition("/")[2]
    alike = [v for v in others if path_of(v).rpartition("/")[2] == name and v.shape == entry.variable.shape]
    return alike[0] if alike else None


def _orphaned_layers(recording: Recording, unread: Sequence[Entry]) -> list[Entry]:
    """Variables of layers that a model lists although none of its attributes holds those layers any more."""
    models = {id(h): h for read in recording.reads for h in read.holders if isinstance(h, keras.Model)}
    orphans = []
    for model in models.values():
        if isinstance(model, keras.Sequential) or hasattr(model, "operations"):  # these keep no layer as an attribute
            continue
        held = {
            id(part)
            for name, part in vars(model).items()
            if not name.startswith("_")
            for part in tf.nest.flatten(part)
            if isinstance(part, keras.Layer)
        }
        held |= {id(p) for part in _containers(model) for p in part if isinstance(p, keras.Layer)}
        for layer in model.layers:
            if id(layer) not in held:
                keys = {k for variable in trainable_of(layer) for k in handles_of(variable)}
                orphans += [entry for entry in unread if keys & set(entry.keys) and entry not in orphans]
    return orphans


def _containers(model):
    for name, part in vars(model).items():
        if name.startswith("_"):
            if isinstance(part, keras.Layer) or name in ("_layers", "_tracker", "_metrics"):
                continue
            yield [part] if isinstance(part, keras.Layer) else []
        elif isinstance(part, dict):
            yield list(part.values())
        elif isinstance(part, (list, tuple, set)):
            yield list(part)
