"""The losses against reference values: ours, and the shared folder's where it is there; and the runner itself."""

import json
import pathlib

import numpy as np
import pytest

from tests import goldens

OURS = pathlib.Path(__file__).parent / "goldens"
SHARED = pathlib.Path(__file__).parents[3] / "shared" / "loss_goldens"
FORMULAS = sorted({case["formula"] for case in json.loads((OURS / "index.json").read_text(encoding="utf-8"))["cases"]})

# Formulas that are sums or other readings of losses which have a formula of their own.
MADE_OF_OTHERS = {"dicebce", "dicece", "dicefocal", "gdfocal", "keras_dice", "keras_tversky", "nn_dcce", "nnunet_dice"}
MADE_OF_OTHERS |= {"aufl_monai", "dicecldice", "log_cosh_dice_per_class", "mcc_smp", "sample", "wnorm"}


def off(folder, modes):
    return [outcome for outcome in goldens.check_folder(folder, modes) if outcome.state != "right"]


def test_every_formula_in_float64():
    assert off(OURS, ["float64"]) == []


def test_every_loss_in_float32_and_a_graph(tmp_path):
    cases = [one_case(formula) for formula in FORMULAS if formula not in MADE_OF_OTHERS]
    assert off(written(tmp_path, cases), ["float32"]) == []


@pytest.mark.slow
def test_every_loss_under_xla(tmp_path):
    cases = [one_case(formula) for formula in FORMULAS if formula not in MADE_OF_OTHERS]
    assert off(written(tmp_path, cases), ["float32 under XLA"]) == []


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="../shared/loss_goldens is not beside this checkout")
def test_shared_folder():
    assert off(SHARED, ["float64"]) == []


@pytest.mark.slow
def test_large_generated_cases(tmp_path):
    """Sums of float16 logits that would overflow float16, and of equal numbers that would drift in float32."""
    folder = written(tmp_path, [], generated=[generated_case(2.0), generated_case(-4.0, "empty")])
    assert off(folder, ["float32", "float32 under XLA", "float16", "bfloat16"]) == []


def generated_case(logit, pattern="full"):
    """A constant image of 300 x 250, with Dice and its gradient in closed form."""
    n, p = 300 * 250, 1 / (1 + np.exp(-logit))
    y = 1.0 if pattern == "full" else 0.0
    top, bottom = 2 * n * p * y + 1e-5, n * p + n * y + 1e-5
    slope = -(2 * y * bottom - top) / bottom**2 * p * (1 - p)
    return {
        "name": f"constant_{pattern}",
        "shape": [1, 300, 250, 1],
        "pattern": pattern,
        "logit": logit,
        "activation": "sigmoid",
        "value": (n * p + n * y - 2 * n * p * y) / bottom,
        "grad_l1": n * abs(slope),
        "grad_l2": np.sqrt(n) * abs(slope),
        "grad_max_abs": abs(slope),
        "grad_samples": [[0, slope], [7777, slope]],
    }


def written(folder, cases, generated=(), **changes):
    """A folder of these cases, with our arrays."""
    index = {"format": 1, "cases": [case | changes for case in cases], "generated": list(generated)}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
    for name in ("inputs.npz", "expected.npz"):
        (folder / name).write_bytes((OURS / name).read_bytes())
    return folder


def one_case(formula="dice"):
    return next(
        c for c in json.loads((OURS / "index.json").read_text(encoding="utf-8"))["cases"] if c["formula"] == formula
    )


def lines_of(folder, modes=("float64",)):
    lines = []
    count = goldens.report(goldens.check_folder(folder, modes), lines.append)
    return count, lines


def test_what_is_off_is_said_with_by_how_much(tmp_path):
    case = one_case()
    count, lines = lines_of(written(tmp_path, [case], value=case["value"] + 1e-6))
    assert count == 1
    assert f"OFF {case['name']} [float64]: value {case['value']:.12g} instead of" in lines[0]
    assert "off by 1e-06, allowed" in lines[0]
    assert lines[-1] == "1 cases: 0 right in every mode, 1 off, 0 not offered"


def test_a_gradient_that_is_off(tmp_path):
    case = one_case() | {"grad_keys": [one_case("combo")["grad_keys"][0]]}
    count, lines = lines_of(written(tmp_path, [case]))
    assert count == 1 and "gradient at [" in lines[0] and "value" not in lines[0]


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"formula": "colour_loss"}, "NOT OFFERED formula colour_loss: no such loss (1: "),
        ({"formula_kwargs": {"activation": "sigmoid", "sharpness": 3}}, "option sharpness=3"),
        ({"options": {"ranked": True}}, "option ranked=True"),
        ({"formula_kwargs": {"activation": "tanh"}}, "an activation 'tanh'"),
    ],
)
def test_what_is_not_offered_is_named_and_never_passes(tmp_path, changes, says):
    count, lines = lines_of(written(tmp_path, [one_case()], **changes))
    assert count == 0 and any(says in line for line in lines)
    assert lines[-1] == "1 cases: 0 right in every mode, 0 off, 1 not offered"


def test_a_case_that_raises_is_off(tmp_path):
    count, lines = lines_of(written(tmp_path, [one_case("ce")], formula_kwargs={"class_weights": [1.0, 2.0]}))
    assert count == 1 and "raised ValueError: cross_entropy: class_weights must be 4 numbers" in lines[0]


def test_nothing_depends_on_the_names_of_cases(tmp_path):
    case = one_case("tversky")
    assert off(written(tmp_path, [case], name="x", loss="", note=""), ["float64"]) == []


@pytest.mark.parametrize("found", [float("nan"), 0.0])
def test_nan_is_off(found):
    words = goldens._difference("value", np.array([1.0, found]), np.array([1.0, 2.0]), (1e-6, 0.0))
    assert len(words) == 1 and "at [1]" in words[0]


def test_exit_status(tmp_path, capsys):
    assert goldens.main([]) == 2
    assert goldens.main([str(tmp_path / "nowhere")]) == 2
    assert "is no folder of reference values" in capsys.readouterr().err
    case = one_case()
    assert goldens.main([str(written(tmp_path, [case], value=2.0))]) == 1
    assert goldens.main([str(written(tmp_path, [case]))]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 cases: 1 right in every mode, 0 off, 0 not offered"
