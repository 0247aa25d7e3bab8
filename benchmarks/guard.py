"""What the guard costs: processor time to explain a cut loss, and the share that it adds to tracing a healthy step.

    python -m benchmarks.guard               # about four minutes on two cores
    python -m benchmarks.guard --rounds 4    # shorter

Times are processor time, which another program on the machine does not lengthen, but where it says wall.

Advice: over all cases of tests/guard/cases, and of a folder given by --more, the share of the findings with an op to
blame that get a replacement, and the share of those that help where they are put: each is pasted into a copy of its
file, which is loaded anew and differentiated.

Explaining: the cut cases of tests/guard/cases, one after the other, each with the wall time of `explain` alone; and
MobileNetV2 and EfficientNetB0 (96 x 96, five classes, batch normalisation training) with `tf.argmax` in the loss, so
that every variable is missing. These two are timed as a step under trace has it (`check_traced`, its graph already
built) and as `explain` does it from nothing, which runs the forward pass itself.

Tracing: `tf.function` of forward pass, loss, gradients and an SGD update, traced with and without the guard in turn:
the median of each, and the share of the former that is spent inside the guard, which no noise of the machine hides. The
two graphs are compared, too: they hold the same operations.
"""

import argparse
import gc
import importlib.util
import os
import pathlib
import statistics
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CASES = pathlib.Path(__file__).resolve().parent.parent / "tests" / "guard" / "cases"
MODELS = ("MobileNetV2", "EfficientNetB0")
SIZE, CLASSES, BATCH = 96, 5, 2


def seconds_of_cases() -> list[tuple[float, float]]:
    """Wall and processor time of `explain` on each case in which something is cut, replaced or forgotten."""
    import keras

    from trainer.guard import explain

    taken = []
    for path in sorted(CASES.glob("case*.py")):
        keras.backend.clear_session()
        keras.utils.set_random_seed(7)
        forward_loss, variables = _loaded(path).build()
        start, spent = time.perf_counter(), time.process_time()
        report = explain(forward_loss, variables)
        taken.append((time.perf_counter() - start, time.process_time() - spent))
        if report.ok:
            raise RuntimeError(f"{path.stem}: nothing was found, so there is nothing to time")
        keras.mixed_precision.set_global_policy("float32")
    return taken


def advice(folders: list[pathlib.Path]) -> dict[str, int]:
    """How many findings blame an op, how many of those have a replacement, and how many of these help in a new file."""
    import keras

    from trainer.guard import explain

    counts = {"findings": 0, "replacements": 0, "helping": 0}
    for path in [path for folder in folders for path in sorted(folder.glob("*.py"))]:
        keras.backend.clear_session()
        keras.utils.set_random_seed(7)
        module = _loaded(path)
        if not hasattr(module, "EXPECT"):
            continue
        forward_loss, variables = module.build()
        blaming = [finding for finding in explain(forward_loss, variables).findings if finding.op_type]
        offered = [finding for finding in blaming if finding.replacement]
        counts["findings"] += len(blaming)
        counts["replacements"] += len(offered)
        for finding in offered:
            helps = _helps(path, finding, variables)
            counts["helping"] += helps
            if not helps:
                print(f"{path.stem}: does not help in its file:\n{finding.replacement.code}", flush=True)
        keras.mixed_precision.set_global_policy("float32")
    return counts


def _loaded(path: pathlib.Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # tf.function looks its source up by the module's name
    spec.loader.exec_module(module)
    return module


def _helps(path: pathlib.Path, finding, variables) -> bool:
    """Whether the finding's variables get finite gradients, not all zero, from the file with the new lines in it."""
    import keras
    import tensorflow as tf

    new, lines = finding.replacement, path.read_text(encoding="utf-8").splitlines()
    text = "\n".join([*lines[: new.first_line - 1], *new.code.splitlines(), *lines[new.last_line :]])
    mine = [i for i, v in enumerate(variables) if getattr(v, "path", getattr(v, "name", "")) in finding.variables]
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / f"mended_{path.stem}.py"
        copy.write_text(text, encoding="utf-8")
        keras.utils.set_random_seed(7)
        forward_loss, again = _loaded(copy).build()
        with tf.GradientTape() as tape:
            loss = forward_loss()
        every = tape.gradient(loss, list(again))
    gradients = [every[i] for i in mine]
    if any(gradient is None for gradient in gradients):
        return False
    values = [tf.convert_to_tensor(gradient) for gradient in gradients]
    finite = all(bool(tf.reduce_all(tf.math.is_finite(value))) for value in values)
    return finite and any(bool(tf.reduce_any(value != 0)) for value in values)


def classifier(name: str):
    """A model of keras.applications with its own head, random weights, and a batch for it."""
    import keras
    import numpy as np

    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, input_shape=(SIZE, SIZE, 3), classes=CLASSES)
    draw = np.random.default_rng(0)
    return model, draw.random((BATCH, SIZE, SIZE, 3), "float32") * 255.0, draw.integers(0, CLASSES, BATCH)


def cut_loss(labels, probabilities):
    """A distance between class ids, one of them from `tf.argmax`: no variable gets a gradient."""
    import tensorflow as tf

    ids = tf.argmax(probabilities, axis=-1)
    return tf.reduce_mean(tf.abs(tf.cast(ids - labels, tf.float32)))


def seconds_of_model(name: str) -> dict[str, float]:
    """Processor time to explain a model whose every variable is missing."""
    import tensorflow as tf

    from trainer import guard

    model, x, y = classifier(name)
    variables, taken = model.trainable_variables, {}

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = cut_loss(y, model(x, training=True))
        gradients = tape.gradient(loss, variables)
        start = time.process_time()
        report = guard.check_traced(loss, variables, gradients, missing="warn", warn=lambda report: None)
        taken["after tracing"] = time.process_time() - start
        _expect(report, len(variables))
        return loss

    step.get_concrete_function()
    start = time.process_time()
    report = guard.explain(lambda: cut_loss(y, model(x, training=True)), variables)
    taken["explain()"] = time.process_time() - start
    _expect(report, len(variables))
    taken["variables"] = len(variables)
    return taken


def _expect(report, count: int) -> None:
    if len(report.affected("missing")) != count:
        raise RuntimeError(f"{len(report.affected('missing'))} of {count} variables are named:\n{report}")


def tracing(name: str, rounds: int) -> tuple[list[float], list[float], list[float]]:
    """Processor time to trace a healthy step without and with the guard, in turn, and that inside the guard."""
    import keras
    import tensorflow as tf

    from trainer import guard

    model, x, y = classifier(name)
    variables, loss_fn = model.trainable_variables, keras.losses.SparseCategoricalCrossentropy()
    inside = []

    def step(guarded: bool):
        with tf.GradientTape() as tape:
            loss = loss_fn(y, model(x, training=True))
        gradients = tape.gradient(loss, variables)
        if guarded:
            start = time.process_time()
            guard.check_traced(loss, variables, gradients, watched=tape.watched_variables())
            inside.append(time.process_time() - start)
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.assign_sub(0.01 * gradient)
        return loss

    def trace(guarded: bool) -> tuple[float, list[str]]:
        gc.collect()
        function = tf.function(lambda: step(guarded))
        start = time.process_time()
        graph = function.get_concrete_function().graph
        return time.process_time() - start, [operation.type for operation in graph.get_operations()]

    trace(False), trace(True)  # what is loaded once
    plain, guarded = [], []
    for turn in range(rounds):
        pair = {guard_on: trace(guard_on) for guard_on in ((False, True) if turn % 2 else (True, False))}
        if pair[False][1] != pair[True][1]:
            raise RuntimeError(f"{name}: the guard changed the graph")
        plain.append(pair[False][0])
        guarded.append(pair[True][0])
    return plain, guarded, inside[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6, help="times that each step is traced; an even number")
    parser.add_argument("--more", type=pathlib.Path, action="append", default=[], help="another folder of cases")
    parser.add_argument("--only-advice", action="store_true", help="count replacements, and time nothing")
    args = parser.parse_args()

    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    counts = advice([CASES, *args.more])
    print(
        f"advice: {counts['findings']} findings blame an op, {counts['replacements']} of them "
        f"({counts['replacements'] / counts['findings']:.0%}) have a replacement, of which {counts['helping']} help "
        "in the file itself"
    )
    if args.only_advice:
        return
    for name, taken in zip(("wall", "processor"), zip(*seconds_of_cases(), strict=True), strict=True):
        taken = sorted(taken)
        print(
            f"explain(), {len(taken)} cut losses, {name} time: median {statistics.median(taken):.2f} s, "
            f"worst {taken[-1]:.2f} s"
        )
    print(f"\n{'every variable missing':24} {'variables':>9} {'after tracing':>14} {'explain()':>10}")
    for name in MODELS:
        row = seconds_of_model(name)
        print(f"{name:24} {row['variables']:9} {row['after tracing']:12.2f} s {row['explain()']:8.2f} s")
    print(f"\n{'tracing a healthy step':24} {'without':>10} {'with':>10} {'in the guard':>13}   graphs")
    for name in MODELS:
        plain, guarded, inside = tracing(name, args.rounds)
        share = statistics.median(own / whole for own, whole in zip(inside, guarded, strict=True))
        print(
            f"{name:24} {statistics.median(plain):8.2f} s {statistics.median(guarded):8.2f} s {share:12.1%}    equal",
            flush=True,
        )


if __name__ == "__main__":
    main()
