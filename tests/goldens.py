"""Holds the losses to a folder of reference values and gradients.

    python -m tests.goldens ../shared/loss_goldens

Every case of the folder (its README says what the files hold) is computed from its formula and options alone: in
float64, in float32, in float32 compiled by XLA; the generated large ones also from float16 and bfloat16 logits. Each
value or gradient that is off is printed with by how much, then the formulas that `losses` does not offer, by name, then
the count. Exit status 1 if any is off, 2 if the folder cannot be read.
"""

import json
import os
import pathlib
import sys
import typing

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from tests.golden_arrays import generated_arrays
from tests.golden_case import Case, Unoffered
from tests.golden_formulas import FORMULAS, dice
from tests.golden_libraries import LIBRARY_FORMULAS, deep_supervision

# (relative to the largest, absolute) differences allowed in a value or gradient.
FLOAT64, FLOAT32, LARGE = (1e-9, 1e-12), (1e-5, 1e-7), (1e-6, 0.0)
# The effect of rounding to 11 or 8 bits on each element of a gradient returned in the type of its logits.
ROUNDING = {"float16": 2.0**-11, "bfloat16": 2.0**-8}


class Mode(typing.NamedTuple):
    """How a case is computed: the type of the logits; eagerly, traced into a graph, or compiled by XLA."""

    name: str
    dtype: str
    traced: bool = True
    xla: bool = False


SMALL_MODES = (
    Mode("float64", "float64", traced=False),
    Mode("float32", "float32"),
    Mode("float32 under XLA", "float32", xla=True),
)
LARGE_MODES = SMALL_MODES + (
    Mode("float16", "float16"),
    Mode("bfloat16", "bfloat16"),
    Mode("float16 under XLA", "float16", xla=True),
    Mode("bfloat16 under XLA", "bfloat16", xla=True),
)


class Outcome(typing.NamedTuple):
    """What became of one case in one mode: `state` is "right", "off" or "not offered", `why` the words for it."""

    case: str
    mode: str
    state: str
    why: str = ""


def check_folder(folder, modes=None):
    """Yields an `Outcome` for every case of the folder in every mode; `modes` are the names of those wanted."""
    folder = pathlib.Path(folder)
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    cases, generated = index.get("cases", []), index.get("generated", [])
    # Without stored cases there need be no arrays.
    arrays = dict(np.load(folder / "inputs.npz")) if cases else {}
    expected = dict(np.load(folder / "expected.npz")) if cases else {}
    for entry in cases:
        yield from _outcomes(
            entry, _wanted(SMALL_MODES, modes), lambda mode, e=entry: check_case(e, arrays, expected, mode)
        )
    for entry in generated:
        yield from _outcomes(entry, _wanted(LARGE_MODES, modes), lambda mode, e=entry: check_generated(e, mode))


def _wanted(modes, names):
    return [mode for mode in modes if names is None or mode.name in names]


def _outcomes(entry, modes, check):
    """The outcomes of one case; a loss that raises is off, with the message's first line."""
    for mode in modes:
        try:
            wrong = check(mode)
        except Unoffered as missing:
            yield Outcome(entry["name"], "", "not offered", f"formula {entry.get('formula', 'dice')}: {missing}")
            return
        except Exception as error:
            wrong = [f"raised {type(error).__name__}: {(str(error) or 'nothing said').strip().splitlines()[0]}"]
        yield Outcome(entry["name"], mode.name, "off" if wrong else "right", "; ".join(wrong))


def check_case(entry, arrays, expected, mode):
    """What is off in one stored case: a list of words, empty if nothing."""
    if entry["formula"] not in (*FORMULAS, *LIBRARY_FORMULAS, "ds"):
        raise Unoffered("no such loss")
    keys = entry["inputs"]["logits"]
    levels = [arrays[key] for key in ([keys] if isinstance(keys, str) else keys)]
    case, target = Case(entry, arrays), arrays[entry["inputs"]["target"]]
    one_hot = mode.dtype == "float64" and entry.get("target_form") == "dense"
    value, gradients = _differentiate(lambda *z: _loss(entry, case, target, z, one_hot), levels, mode)
    if case.unread():
        raise Unoffered(", ".join(f"option {name}={given!r}" for name, given in case.unread().items()))
    tolerance = FLOAT64 if mode.dtype == "float64" else FLOAT32
    wanted = expected[entry["value_key"]] if "value_key" in entry else np.asarray(entry["value"])
    if "value_key" not in entry:
        value = value.sum()
    wrong = _difference("value", value, wanted, tolerance)
    for key, gradient in zip(entry["grad_keys"], gradients, strict=True):
        wrong += _difference(f"gradient {key}" if len(levels) > 1 else "gradient", gradient, expected[key], tolerance)
    return wrong


def _loss(entry, case, target, levels, one_hot):
    """The loss of the logits; deep supervision has several arrays of them."""
    if entry["formula"] == "ds":
        return deep_supervision(case, target, levels)
    return (FORMULAS | LIBRARY_FORMULAS)[entry["formula"]](case, _labels(target, levels[0], one_hot), levels[0])


def _labels(target, z, one_hot):
    """The labels in the form the losses take: ids without an axis of classes, one channel with it."""
    if target.ndim == len(z.shape) and target.shape[-1] == 1 and z.shape[-1] > 1:
        target = target[..., 0]
    if target.ndim < len(z.shape) and z.shape[-1] == 1:
        return target[..., np.newaxis]
    classes = z.shape[-1]
    if one_hot and target.ndim < len(z.shape) and target.min() >= 0 and target.max() < classes:
        return (target[..., np.newaxis] == np.arange(classes)).astype(np.float64)
    return target


def check_generated(entry, mode):
    """What is off in one generated case: value, norms of the gradient, and the elements of it that are listed."""
    logits, target = generated_arrays(entry)
    case = Case({"formula": "dice", "inputs": {}, "formula_kwargs": _options_of(entry)}, {})
    # A gradient of 1e-15 is nothing in float16: the loss is scaled by a power of two, as in training.
    scale = 2.0 ** np.floor(8 - np.log2(entry["grad_max_abs"])) if mode.dtype in ROUNDING else 1.0
    value, (gradient,) = _differentiate(lambda z: dice(case, target, z), [logits], mode, min(scale, 2.0**100))
    if case.unread():
        raise Unoffered(", ".join(f"option {name}={given!r}" for name, given in case.unread().items()))
    tolerance = FLOAT64 if mode.dtype == "float64" else LARGE
    wrong = _difference("value", value.sum(), np.asarray(entry["value"]), tolerance)
    relative = ROUNDING.get(mode.dtype, 0.0) + tolerance[0]
    flat = gradient.reshape(-1)
    found = {"grad_l1": np.abs(flat).sum(), "grad_l2": np.sqrt((flat**2).sum()), "grad_max_abs": np.abs(flat).max()}
    for name, number in found.items():
        wrong += _difference(name, number, np.asarray(entry[name]), (relative, 0.0))
    indices, samples = np.array(entry["grad_samples"]).T
    picked = flat[indices.astype(np.int64)]
    # The smallest elements are held to their own size where the type of the logits can hold it.
    room = tolerance[0] * entry["grad_max_abs"]
    worst = np.abs(picked - samples) - relative * np.abs(samples) - room
    if not worst.max() <= 0:
        i = int(worst.argmax()) if np.isfinite(worst).all() else int(np.argmin(np.isfinite(worst)))
        wrong.append(f"gradient[{int(indices[i])}] {picked[i]:.17g} instead of {samples[i]:.17g}")
    return wrong


def _options_of(entry):
    described = ("name", "shape", "pattern", "logit", "value", "target_sum", "grad_samples")
    return {key: value for key, value in entry.items() if key not in described and not key.startswith("grad_")}


def _differentiate(function, levels, mode, scale=1.0):
    """The value, float64, and the gradients with respect to each array of logits, float64 and without the scale."""

    def value_and_gradients(*logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = function(*logits)
            total = tf.reduce_sum(value) * scale
        return value, tape.gradient(total, logits)

    if mode.traced:
        value_and_gradients = tf.function(value_and_gradients, jit_compile=mode.xla, autograph=False)
    value, gradients = value_and_gradients(*(tf.cast(tf.constant(array), mode.dtype) for array in levels))
    if None in gradients:
        raise AssertionError("the gradient is None")
    least = tf.float64 if mode.dtype == "float64" else tf.float32
    if value.dtype != least:
        raise AssertionError(f"the value is {value.dtype.name}, not {least.name}")
    return value.numpy().astype(np.float64), [g.numpy().astype(np.float64) / scale for g in gradients]


def _difference(what, found, wanted, tolerance):
    """[] if the arrays agree within the tolerance, else one sentence with the largest difference."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    if found.size != wanted.size:
        return [f"{what} has shape {found.shape} instead of {wanted.shape}"]
    found = found.reshape(wanted.shape)
    off = np.abs(found - wanted)
    allowed = tolerance[0] * np.abs(wanted).max() + tolerance[1]
    if bool(np.all(off <= allowed)):
        return []
    place = np.unravel_index(np.argmax(np.where(np.isnan(off), np.inf, off)), off.shape)
    at = f" at {[int(i) for i in place]}" if off.ndim else ""
    return [
        f"{what}{at} {float(found[place]):.12g} instead of {float(wanted[place]):.12g}: "
        f"off by {float(off[place]):.3g}, allowed {float(allowed):.3g}"
    ]


def report(outcomes, write=print):
    """Writes what is off and what is not offered, then the count; returns how many are off."""
    outcomes = list(outcomes)
    off = [outcome for outcome in outcomes if outcome.state == "off"]
    missing = [outcome for outcome in outcomes if outcome.state == "not offered"]
    for outcome in off:
        write(f"OFF {outcome.case} [{outcome.mode}]: {outcome.why}")
    for why in sorted({outcome.why for outcome in missing}):
        names = [outcome.case for outcome in missing if outcome.why == why]
        write(f"NOT OFFERED {why} ({len(names)}: {', '.join(names)})")
    right = {outcome.case for outcome in outcomes if outcome.state == "right"} - {outcome.case for outcome in off}
    modes = list(dict.fromkeys(outcome.mode for outcome in outcomes if outcome.mode))
    for mode in modes:
        tried = [outcome for outcome in outcomes if outcome.mode == mode]
        write(f"{mode}: {sum(outcome.state == 'right' for outcome in tried)} of {len(tried)} right")
    cases = len({outcome.case for outcome in outcomes})
    write(
        f"{cases} cases: {len(right)} right in every mode, {len({outcome.case for outcome in off})} off, "
        f"{len({outcome.case for outcome in missing})} not offered"
    )
    return len(off)


def main(arguments):
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__.strip().splitlines()[2].strip() + "   (one folder)", file=sys.stderr)
        return 2
    try:
        tf.get_logger().setLevel("ERROR")
        return 1 if report(check_folder(arguments[0])) else 0
    except (OSError, json.JSONDecodeError) as error:
        print(f"{arguments[0]} is no folder of reference values: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
