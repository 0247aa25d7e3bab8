"""`diagnose`: static facts first, then a batch, then steps on copies, until a fault can be named."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .agreement import broadcasts
from .batch import Look, look, of_batch
from .change import Suspicion, fault
from .clock import Clock
from .data import constant_inputs, not_finite, scale_of_targets
from .finding import DEPTHS, Diagnosis, Finding
from .labels import labels_of
from .loss_probe import losses_of_masks
from .masks import moved_inside, turned_masks
from .objective import CROSS_ENTROPIES, objective_of
from .output import Output, layers_of, outputs_of
from .pair import Pair
from .pair_suspects import softmaxes_over_one, suspicions
from .place import line_of, source_of
from .program import Program, program_of
from .replacement import replacement_of
from .steps import helps, settle
from .suspects import strong_suspects
from .traced_output import traced_outputs
from .training_suspects import of_other_variables
from .trial import Trial, untouched
from .validation import shared_rows, validation_against_training


def diagnose(
    model: keras.Model,
    loss: Any = None,
    optimizer: Any = None,
    x: Any = None,
    y: Any = None,
    *,
    batch_size: int | None = None,
    epochs: int | None = None,
    validation: Any = None,
    metrics: Any = None,
    sample_weight: Any = None,
    shuffle: bool = True,
    depth: str = "steps",
    seconds: float = 12.0,
) -> Diagnosis:
    """Says why a model does not learn, from the arguments of `compile` and `fit`.

        from trainer.guard import diagnose
        print(diagnose(model, "binary_crossentropy", "adam", images, masks, batch_size=16, epochs=20))

    It looks at the model, the loss, the labels and the data as they are; then at one batch; then, if nothing is certain
    yet, it trains copies, unchanged and with one suspected fault mended at a time. The model's weights, the optimizer
    and the generators of random numbers are put back before it returns.

    Args:
      model: a Keras model; most can be learned from one that is a graph of layers (Sequential, functional).
      loss: what `compile` takes: a name, class, instance or function `(y_true, y_pred)`; a list or dict of them. None:
        what the model was compiled with.
      optimizer: a name or an optimizer. None: what the model was compiled with.
      x, y: what `fit` takes: arrays, tensors, lists or dicts of them, or a `tf.data.Dataset` of batches as x.
      batch_size: as for `fit`; by default 32, or a data set's own.
      epochs: as for `fit`; by default nothing is concluded from the number of steps, and one epoch is tried.
      validation: (x, y) or a data set of batches.
      metrics: what `compile` takes.
      sample_weight, shuffle: as for `fit`.
      depth: "static", "batch" or "steps": how far to look.
      seconds: about how long the steps on copies may take, from the start.

    Returns:
      A diagnosis; `diagnosis.ok` where nothing was found.

    Raises:
      ValueError: there is no model, loss or data, or `depth` is not one of the three words.
    """
    if depth not in DEPTHS:
        raise ValueError(f"depth is one of {', '.join(map(repr, DEPTHS))}. Received: depth={depth!r}")
    clock = Clock(seconds)
    program = program_of(model, loss, optimizer, x, y, batch_size, epochs, validation, metrics, sample_weight, shuffle)
    with untouched(model, optimizer):
        found, notes, reached = _examined(program, depth, clock)
        findings = _written_out(_in_order(found), program, depth, clock)
    return Diagnosis(findings, tuple(notes), reached, time.monotonic() - clock.began)


def _written_out(found: list[Suspicion], program: Program, depth: str, clock: Clock) -> tuple[Finding, ...]:
    """The findings with the user's lines and, where a change was tried and helped, what to write there."""
    source = source_of(program) if found else None
    if source is None:
        return tuple(suspicion.finding for suspicion in found)
    findings = []
    for suspicion in found:
        finding = suspicion.finding
        if finding.line is None:
            line = line_of(source, program, finding.places)
            finding = dataclasses.replace(finding, file=source.file if line else None, line=line)
        if suspicion.change is not None and depth == "steps" and finding.line is not None:
            written = replacement_of(source, program, suspicion.change)
            # What steps have not settled yet is tried now with every certain fault mended: one fault may hide another.
            if written and (finding.depth == "steps" or helps(program, suspicion, found, clock)):
                finding = dataclasses.replace(finding, replacement=written)
        findings.append(finding)
    return tuple(findings)


def _examined(program: Program, depth: str, clock: Clock) -> tuple[list[Suspicion], list[str], str]:
    model = program.model
    found: list[Suspicion] = [*softmaxes_over_one(model), *validation_against_training(program)]
    found += [*shared_rows(program), *constant_inputs(program), *of_other_variables(program)]
    trial = None
    if depth != "static":
        trial = Trial(program, None)
    predictions = _predictions(program, trial)
    pairs = pairs_of(program, predictions, trial)
    for pair in pairs:
        found += suspicions(pair)
        found += broadcasts(pair)
        found += turned_masks(program, pair)
        found += moved_inside(program, pair)
        found += losses_of_masks(pair)
    single = pairs[0] if len(pairs) == 1 else None
    if single is None:
        for pair in pairs:
            found += scale_of_targets(pair)
    if trial is None:
        found += not_finite(program, lambda rows: False)
        return [s for s in found if s.certain], [], "static"
    found += not_finite(program, lambda rows: _tolerated(program, trial, rows))
    seen = look(program, trial)
    if seen.error is not None:
        if not any(s.certain for s in found):
            found.append(_does_not_run(program, seen))
        return [s for s in found if s.certain], [], "batch"
    found += of_batch(program, single, seen)
    found += _nothing_trainable(program, single, seen)
    certain = [dataclasses.replace(s, pair=single) for s in found if s.certain]
    trial.pair = single
    if certain or depth == "batch" or _unsuited(program):
        return certain, [], "batch"
    borne_out, notes = settle(program, single, seen, trial, found, clock)
    return borne_out, notes, "steps"


def pairs_of(program: Program, predictions: Any, trial: Trial | None) -> list[Pair]:
    """Each output of the model with its loss and its labels; outputs that lack either are left out."""
    model = trial.model if trial is not None else program.model
    outputs = outputs_of(model)
    if trial is not None and not (outputs and all(output.known for output in outputs)):
        outputs = _better_known(outputs, traced_outputs(model, program.batch(2)[0]))
    labels = _by_output(program.y, model)
    losses = _by_output(program.loss, model)
    answers = keras.tree.flatten(predictions) if predictions is not None else []
    count = max(len(outputs), len(answers), 1)
    if len(losses) == 1 and count > 1:
        losses = losses * count
    pairs = []
    for index in range(min(count, len(labels), len(losses))):
        held = labels_of(labels[index][1]) if labels[index][1] is not None else None
        objective = objective_of(losses[index][1])
        if held is None or objective is None:
            continue
        answer = answers[index] if index < len(answers) else None
        output = outputs[index] if index < len(outputs) else _unread(model, answer)
        name = f"y{labels[index][0]}"
        pairs.append(
            Pair(
                output,
                objective,
                held,
                name,
                answer,
                _corrected(program, trial, objective, output, len(labels)),
                _copies_input(program.x, labels[index][1]),
            )
        )
    return pairs


def _better_known(outputs: list[Output], traced: list[Output]) -> list[Output]:
    """The outputs as read from the graph of layers, or, where that is not enough, from the ops of the model."""
    if len(outputs) != len(traced):
        return outputs or [output for output in traced if output.known or len(traced) > 1]
    return [own if own.known or not other.known else other for own, other in zip(outputs, traced, strict=True)]


def _by_output(structure: Any, model: keras.Model) -> list[tuple[str, Any]]:
    """(index as the user writes it, part) of a single value, a list, or a dict by the names of the outputs."""
    if isinstance(structure, dict):
        names = [name for name in getattr(model, "output_names", structure) if name in structure] or list(structure)
        return [(f"[{name!r}]", structure[name]) for name in names]
    if isinstance(structure, (list, tuple)):
        return [(f"[{index}]" if len(structure) > 1 else "", part) for index, part in enumerate(structure)]
    return [("", structure)]


def _unread(model: keras.Model, answer: np.ndarray | None) -> Output:
    """What is known about the output of a model that is not a graph of layers: its shape, and whether it sums to 1."""
    if answer is None:
        return Output(known=False)
    return Output(shape=(None, *answer.shape[1:]), channels=answer.shape[-1] if answer.ndim > 1 else None, known=False)


def _predictions(program: Program, trial: Trial | None) -> Any:
    model = trial.model if trial is not None else program.model
    if trial is None and not model.built:
        return None
    x, _ = program.batch(64)
    return keras.tree.map_structure(np.asarray, model(x, training=False))


def _corrected(program: Program, trial: Trial | None, objective, output: Output, count: int) -> bool:
    """Whether the loss finds the scores behind the output's activation: then `from_logits` makes no difference.

    It is run in a graph, as in `fit`: its value for the output is compared with that for the same numbers without their
    history.
    """
    act = output.activation
    squashed = act.low >= -0.01 and act.high <= 1.01
    matters = squashed and (objective.family == "own" or objective.family in CROSS_ENTROPIES and objective.from_logits)
    if trial is None or count > 1 or not matters:
        return output.known and not output.after
    x, y = program.batch(8)
    try:

        @tf.function(autograph=False)
        def both():
            predictions = trial.model(x, training=False)
            own = trial.losses.compute_loss(x=x, y=y, y_pred=predictions, sample_weight=None)
            bare = keras.tree.map_structure(lambda part: tf.reshape(part, tf.shape(part)) + 0.0, predictions)
            return own, trial.losses.compute_loss(x=x, y=y, y_pred=bare, sample_weight=None)

        own, bare = (float(value) for value in both.get_concrete_function()())
    except Exception:  # the loss fails; that is reported where it is run on a batch
        return output.known and not output.after
    return abs(own - bare) > 1e-5 * max(1.0, abs(bare))


def _copies_input(x: Any, y: Any) -> bool:
    arrays = keras.tree.flatten(x)
    return any(
        array is not None
        and np.shape(array) == np.shape(y)
        and np.array_equal(np.asarray(array)[:64], np.asarray(y)[:64])
        for array in arrays
    )


def _tolerated(program: Program, trial: Trial, rows: np.ndarray) -> bool:
    """Whether rows with NaN still give a finite loss, because the model or the loss masks them."""
    from .program import taken, tensors

    try:
        loss, _ = trial.loss(tensors(taken(program.x, rows)), tensors(taken(program.y, rows)), training=False)
        predictions = trial.model(tensors(taken(program.x, rows)), training=False)
    except Exception:  # it is reported where the loss is run on a batch
        return False
    return bool(np.isfinite(float(loss))) and all(
        np.isfinite(np.asarray(p)).all() for p in keras.tree.flatten(predictions)
    )


def _does_not_run(program: Program, seen: Look) -> Suspicion:
    shapes = [tuple(np.shape(part)) for part in keras.tree.flatten(program.y) if part is not None]
    answers = [tuple(np.shape(part)) for part in keras.tree.flatten(seen.predictions)]
    text = (str(seen.error).strip().splitlines() or [""])[0]
    return fault(
        "does_not_run",
        "loss",
        f"{type(seen.error).__name__}: {text[:300]} Labels have shape {', '.join(map(str, shapes))}, predictions "
        f"of a batch {', '.join(map(str, answers))}.",
        "Give labels and predictions one shape, and the loss what it reads.",
        depth="batch",
    )


def _nothing_trainable(program: Program, pair: Pair | None, seen: Look) -> list[Suspicion]:
    if program.model.trainable_variables or not any(layer.weights for layer in layers_of(program.model)):
        return []
    return [s for s in strong_suspects(program, pair, seen) if s.finding.kind == "frozen_layer"]


def _unsuited(program: Program) -> bool:
    """Data that cannot be gathered by rows on the device: text."""
    return any(
        np.asarray(part).dtype.kind not in "fiub"
        for part in keras.tree.flatten((program.x, program.y))
        if part is not None
    )


def _in_order(found: list[Suspicion]) -> list[Suspicion]:
    """Each kind and place once, certain ones first."""
    seen, ordered = set(), []
    for suspicion in sorted(found, key=lambda s: not s.certain):
        key = (suspicion.finding.kind, suspicion.finding.places)
        if key not in seen:
            seen.add(key)
            ordered.append(suspicion)
    return ordered
