"""Every case of `cases/`, a mistake people make or a healthy model: the right variables, cause, op and line.

A case says what is true of it in `EXPECT`; that is held against TensorFlow itself, as the guard is.
"""

import gc
import importlib.util
import pathlib
import re
import sys

import keras
import pytest
import tensorflow as tf

from trainer.guard import explain

CASES = sorted((pathlib.Path(__file__).parent / "cases").glob("*.py"))
MISTAKES = [path for path in CASES if not path.stem.startswith("ok")]
CONTROLS = [path for path in CASES if path.stem.startswith("ok")]


@pytest.fixture(autouse=True)
def _case_is_gone_after_its_test():
    """Each explanation looks at all variables of the process."""
    yield
    for path in CASES:
        sys.modules.pop(path.stem, None)
    gc.collect(1)


def loaded(path):
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(7)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # tf.function looks its source up by the module's name
    spec.loader.exec_module(module)
    return module


def names_of(variables):
    return [
        v.path if hasattr(v, "path") else v.name if isinstance(v, tf.Variable) else f"tensor{i}"
        for i, v in enumerate(variables)
    ]


def pick(spec, names):
    return set(names) if spec == "all" else {name for name in names if any(part in name for part in spec)}


def gradients_of(forward_loss, variables):
    with tf.GradientTape() as tape:
        loss = forward_loss()
    return tape.gradient(loss, variables)


def state_of(gradient, rounding=0.0):
    if gradient is None:
        return "none"
    values = tf.convert_to_tensor(gradient)
    if not bool(tf.reduce_all(tf.math.is_finite(values))):
        return "nan"
    return "ok" if bool(tf.reduce_any(tf.abs(values) > rounding)) else "zero"


def faults(expect, names):
    """What tape.gradient answers for every variable that it does not serve."""
    kinds = (("none", "none_variables"), ("zero", "zero_variables"), ("nan", "nan_variables"))
    return {name: kind for kind, key in kinds for name in pick(expect.get(key, []), names)}


def hold_against_tensorflow(expect, forward_loss, variables):
    """What a case says of itself is true."""
    raises = expect.get("raises")
    if raises:
        with pytest.raises(Exception, match=".") as caught:
            gradients_of(forward_loss, variables)
        assert raises in type(caught.value).__name__
        return
    names = names_of(variables)
    wanted, free = faults(expect, names), pick(expect.get("may_be_zero", []), names)
    rounding = 1e-7 if expect.get("tiny_is_zero") else 0.0  # zero on paper, and as the processor rounds
    found = {name: state_of(g, rounding) for name, g in zip(names, gradients_of(forward_loss, variables), strict=True)}
    assert {n: s for n, s in found.items() if s != "ok" and not (s == "zero" and n in free)} == wanted


@pytest.mark.parametrize("path", MISTAKES, ids=lambda path: path.stem)
def test_mistake_is_named(path):
    case = loaded(path)
    expect = case.EXPECT
    forward_loss, variables = case.build()
    variables, names = list(variables), names_of(variables)
    report = explain(forward_loss, variables)
    hold_against_tensorflow(expect, forward_loss, variables)
    told = f"\n{report}"
    assert not report.ok

    named = {}
    for finding in report.findings:
        for name in finding.variables:
            named.setdefault(name, []).append(finding)
    wanted = set(faults(expect, names))
    stray = expect.get("untracked_variables", [])
    if not (expect.get("raises") and not wanted):
        healthy = pick(expect["healthy_variables"], names) - wanted
        assert wanted <= set(named), told
        assert not healthy & set(named), told
    assert all(any(part in name for name in named) for part in stray), told

    causes = {expect["cause"], *expect.get("accept_causes", [])}
    about = [f for f in report.findings if set(f.variables) & wanted or pick(stray, f.variables)] or report.findings
    assert any(finding.cause in causes for finding in about), told
    assert all(any(finding.cause in causes for finding in named[name]) for name in wanted), told
    for part, cause in expect.get("causes_by_variable", {}).items():
        assert all(any(f.cause == cause for f in named[name]) for name in pick([part], names)), told
    if expect["op_type"]:
        assert {finding.op_type for finding in about} & {expect["op_type"], *expect.get("accept_ops", [])}, told
    if expect["line_marker"]:
        marks = [expect["line_marker"], *expect.get("accept_markers", [])]
        assert any((f.file, f.line) in places(path, marks) for f in about if f.file), told
    for finding in report.findings:
        assert finding.file is None or pathlib.Path(finding.file).name != "test_cases.py", told
    blamed = [(f.kind, f.cause, f.op_type, f.file, f.line) for f in report.findings if f.line]
    assert len(blamed) == len(set(blamed)), f"one finding a cause, not a variable:{told}"


@pytest.mark.parametrize("path", CONTROLS, ids=lambda path: path.stem)
def test_healthy_model_is_met_with_silence(path):
    case = loaded(path)
    forward_loss, variables = case.build()
    variables = list(variables)
    report = explain(forward_loss, variables)
    hold_against_tensorflow(case.EXPECT, forward_loss, variables)
    free = pick(case.EXPECT.get("may_be_zero", []), names_of(variables))
    free = set() if case.EXPECT.get("silent") else free  # zero for a step, and no matter
    alarms = [f for f in report.findings if not (f.kind == "zero" and set(f.variables) <= free)]
    assert not alarms, f"\n{report}"


def places(path, markers):
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    return {(str(path), number) for number, line in lines if re.search(rf"# ({'|'.join(markers)})$", line)}


def test_there_are_enough_cases_of_every_kind():
    kinds = [re.match("[a-z]+", path.stem).group() for path in CASES]
    assert kinds.count("case") >= 60 and kinds.count("ok") >= 30
    assert kinds.count("raise") >= 8 and kinds.count("zero") >= 10 and kinds.count("nan") >= 10
