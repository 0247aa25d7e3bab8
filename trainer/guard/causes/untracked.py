"""Trainable variables that the forward pass reads and nobody listed: forgotten, or left out on purpose?

A variable is forgotten when a layer or module in training computes with it and cannot list it: a `tf.Variable`
attribute of a Keras 3 layer, a layer kept in a plain object. A variable that its layer does list (a
frozen backbone, the other player of a GAN, a target network) was left out on purpose.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence

import keras
import tensorflow as tf

from ..capture.answer import Entry
from ..capture.layers import variable_made_at
from ..capture.owners import Read, handles_of, trainable_of, variables_of
from ..capture.recorder import Recording
from ..search.lineage import Lineage
from ..words.finding import Finding, path_of
from .cut import place_fields
from .unreached import keras_variable


def may_be_stray(watched: Sequence[tf.Variable], entries: Sequence[Entry]) -> bool:
    """Whether the tape saw trainable variables outside of the list, which need a closer look."""
    ours = {k for entry in entries for k in entry.keys}
    return any(not ours & set(handles_of(variable)) for variable in watched)


def untracked_findings(recording: Recording, lineage: Lineage, entries: Sequence[Entry]) -> list[Finding]:
    """A finding for each line that reads forgotten variables that the loss could train."""
    ours = {k for entry in entries for k in entry.keys}
    by_line: dict[tuple, list[tuple]] = collections.defaultdict(list)
    for variable in recording.tape.watched_variables():
        keys = set(handles_of(variable))
        if ours & keys or lineage.distance_of(keys) != 0:
            continue
        reads = [read for read in recording.reads if keys & set(read.handles)]
        if min(keys) > recording.trace.began:  # made by each forward pass
            stray = not _holds_a_result(recording, keys)
        else:
            stray = is_stray(keys, reads, ours, recording.scopes)
        if reads and stray:
            named = keras_variable(recording, variable)
            if getattr(named, "trainable", True):
                site = reads[0].op.site
                by_line[site and (site.file, site.line)].append((named, reads[0]))
    return [_finding([named for named, _ in group], group[0][1]) for group in by_line.values()]


def is_stray(keys: set[int], reads: Sequence[Read], ours: set[int], scopes: Sequence[str] = ()) -> bool:
    """Whether a variable was forgotten: no object in training that computes with it can list it.

    Args:
      keys: of the variable.
      reads: the ops that read it, and the objects that ran them.
      ours: the keys of the variables that are trained.
      scopes: the functions around the one that computes the loss: variables in their closures can be listed there.
    """
    if not ours:
        return True
    listed = any(keys & set(handles_of(v)) for read in reads for holder in read.holders for v in variables_of(holder))
    if not listed and any(factory not in scopes for read in reads for factory in read.factories):
        return True
    holders = {id(holder): holder for read in reads for holder in read.holders}.values()
    for holder in holders:
        trained = {k for variable in trainable_of(holder) for k in handles_of(variable)}
        known = {k for variable in variables_of(holder) for k in handles_of(variable)}
        if not known & keys and (trained & ours or _is_attribute(holder, keys)):
            return True
    return False


def _is_attribute(holder, keys: set[int]) -> bool:
    """Whether a Keras loss or metric has the variable as an attribute; Keras objects list only their own."""
    if not isinstance(holder, (keras.losses.Loss, keras.metrics.Metric)):
        return False
    held = [part for value in vars(holder).values() for part in tf.nest.flatten(value) if hasattr(part, "assign")]
    return any(keys & set(handles_of(part)) for part in held)


def _holds_a_result(recording: Recording, keys: set[int]) -> bool:
    """Whether the variable's first value was computed from variables, and not drawn by an initializer."""
    trace = recording.trace
    writes = [trace.writes[trace.written[k]] for k in keys if k in trace.written]
    queue, seen = [source for op in writes for source in op.sources if source not in keys], set()
    while queue:
        source = queue.pop()
        if source in trace.readers:
            return True
        if source not in seen:
            seen.add(source)
            queue.extend(trace.producers[source].sources if source in trace.producers else ())
    return False


def _finding(variables: Sequence, read: Read) -> Finding:
    paths, site = [path_of(variable) for variable in variables], read.op.site
    if read.functional:
        site = variable_made_at(paths[0], [code.co_filename for code, _ in read.op.steps]) or site
    return Finding("untracked", "untracked_variable", paths, **place_fields(site))
