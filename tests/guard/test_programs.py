"""Small programs, some hundred of them: the guard's verdict, held against TensorFlow's own answer, on every way in."""

import gc
import importlib

import keras
import pytest
import tensorflow as tf

from tests.guard.programs.expectation import Program
from tests.guard.test_cases import names_of, pick, state_of
from trainer.guard import GradientGuard, MissingGradientError, explain, explain_model

FILES = ("counts", "elsewhere", "once", "whose_line", "fan_out", "closures", "mixed", "advice", "healthy")
PROGRAMS = {
    f"{file}-{name}": part
    for file in FILES
    for name, part in vars(importlib.import_module(f"tests.guard.programs.{file}")).items()
    if isinstance(part, Program)
}


def parts_of(program):
    """The loss and its variables, and the parts of `fit` where the program has them."""
    keras.backend.clear_session(free_memory=False)
    gc.collect(1)
    keras.utils.set_random_seed(7)
    built = program.build()
    if not isinstance(built, dict):
        return (*built, None)
    model = built["model"]
    if not built.get("own_step"):
        model.compile("sgd", built["loss_fn"])
    else:
        model.compile("sgd")
    model(built["x"])

    def forward_loss():
        return model.compute_loss(built["x"], built["y"], model(built["x"], training=True), training=True)

    return forward_loss, model.trainable_variables, built


def wrong(program, report, names):
    """What is wrong with a report, in words; an empty list if nothing is."""
    if not program.causes:
        return [] if report.ok else ["alarm"]
    named = {path for finding in report.findings for path in finding.variables}
    affected = set().union(*(pick(spec, names) for spec in (program.none, program.zero, program.nan)))
    found = []
    if not report.findings:
        return ["silence"]
    if affected - named or (not program.raises and affected and named & set(names) - affected):
        found.append(f"variables {sorted(named)}")
    if program.stray and not any(part in path for part in program.stray for path in named):
        found.append(f"stray {sorted(named)}")
    if program.stray and not affected and named & set(names):
        found.append(f"healthy {sorted(named & set(names))}")
    if not any(finding.cause in program.causes for finding in report.findings):
        found.append(f"cause {[finding.cause for finding in report.findings]}")
    if program.ops and not any(finding.op_type in program.ops for finding in report.findings):
        found.append(f"op {[finding.op_type for finding in report.findings]}")
    places = [(finding.file, finding.line) for finding in report.findings]
    if program.lines and not any((program.file, line) in places for line in program.lines):
        found.append(f"line {places}")
    if program.mended and not any(finding.replacement for finding in report.findings):
        found.append("no replacement")
    text = " ".join(str(report).split()).lower()
    found += [f"words {word!r}" for word in program.words if word.lower() not in text]
    return found


def checked(program):
    """What is wrong with the guard's answers to one program, by entry point."""
    forward_loss, variables, fit = parts_of(program)
    variables, names = list(variables), names_of(variables)
    faults = {}
    if not (fit and fit.get("own_step")):
        faults["explain"] = wrong(program, explain(forward_loss, variables), names)
    if fit is not None:
        if not fit.get("own_step"):
            report = explain_model(fit["model"], fit["loss_fn"], fit["x"], fit["y"])
            faults["explain_model"] = wrong(program, report, names)
        faults["fit"] = wrong(program, report_of_fit(program), names)
    return {way: found for way, found in faults.items() if found}


def report_of_fit(program):
    _, _, fit = parts_of(program)
    guard = GradientGuard()
    try:
        fit["model"].fit(fit["x"], fit["y"], batch_size=6, verbose=0, callbacks=[guard])
    except MissingGradientError as error:
        return error.report
    return guard.report


SIBLINGS = ("counts", "elsewhere")  # of single cases in cases/, so that every run need not repeat them


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name.startswith(SIBLINGS) else ()) for name in PROGRAMS],
)
def test_verdict(name):
    program = PROGRAMS[name]
    assert not checked(program)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_expectation_is_true_of_tensorflow(name):
    program = PROGRAMS[name]
    forward_loss, variables, fit = parts_of(program)
    if fit and fit.get("own_step"):
        return
    variables, names = list(variables), names_of(variables)
    try:
        with tf.GradientTape() as tape:
            loss = forward_loss()
        gradients = tape.gradient(loss, variables)
    except Exception as error:
        assert program.raises and program.raises in type(error).__name__, error
        return
    assert not program.raises
    states = {name: state_of(gradient, 1e-7) for name, gradient in zip(names, gradients, strict=True)}
    for state, spec in (("none", program.none), ("zero", program.zero), ("nan", program.nan)):
        assert {name for name, found in states.items() if found == state} == pick(spec, names), states
