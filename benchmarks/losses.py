"""Time and peak memory of the losses: fused, written out, and Keras's own, in a normal training step (not XLA's).

    python -m benchmarks.losses                        # the table in docs/figures.md: (8, 512, 512, 21), three minutes
    python -m benchmarks.losses --shape 2,256,256,8    # smaller

Each row is a `tf.function` that returns a loss of class ids and float32 logits, and its gradient by the logits. Times
are medians of rounds in which every row has its turn; the second is that of all cores together, whose ratios hold on a
busy machine, too. Peak is the highest memory of a process (ru_maxrss) during the first call at this shape, above what
it had with the inputs, in units of the logits; 1.00 of it is the gradient that is returned. Every row's peak is
measured in a process of its own, which has run the same step on a small image before, so that what libraries load once
does not count.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROUNDS = 7


def written_out(squared=False, with_cross_entropy=True):
    """Softmax, one-hot labels, Dice and cross-entropy, as one writes them."""
    import tensorflow as tf

    def loss(ids, logits):
        p, y = tf.nn.softmax(logits), tf.one_hot(ids, logits.shape[-1])
        intersection = tf.reduce_sum(p * y, [1, 2])
        denominator = tf.reduce_sum(p * p if squared else p, [1, 2]) + tf.reduce_sum(y, [1, 2])
        value = tf.reduce_mean(1 - (2 * intersection + 1e-5) / (denominator + 1e-5))
        if with_cross_entropy:
            value += tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits))
        return value

    return loss


def sigmoid_written_out():
    """The same of a sigmoid: each class against the rest."""
    import tensorflow as tf

    def loss(ids, logits):
        p, y = tf.sigmoid(logits), tf.one_hot(ids, logits.shape[-1])
        intersection, both = tf.reduce_sum(p * y, [1, 2]), tf.reduce_sum(p, [1, 2]) + tf.reduce_sum(y, [1, 2])
        dice = tf.reduce_mean(1 - (2 * intersection + 1e-5) / (both + 1e-5))
        return dice + tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y, logits))

    return loss


def keras_own():
    """keras.losses.Dice (over space, so per image and class) + SparseCategoricalCrossentropy."""
    import keras
    import tensorflow as tf

    dice = keras.losses.Dice(axis=(1, 2))
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def loss(ids, logits):
        one_hot = tf.one_hot(ids, logits.shape[-1])
        return tf.reduce_mean(dice(one_hot, tf.nn.softmax(logits))) + cross_entropy(ids, logits)

    return loss


def ours(name, **options):
    """A loss of this package."""
    import losses

    loss = losses.build(name, options={"*": options})
    return lambda ids, logits: loss(ids, logits).total


# name: (what makes the loss, its arguments, the row whose time is 1).
ROWS = {
    "Dice + CE, written out": (written_out, {}, "Dice + CE, written out"),
    "Dice + CE, Keras": (keras_own, {}, "Dice + CE, written out"),
    "Dice + CE, ours": (ours, {"name": "dice+cross_entropy"}, "Dice + CE, written out"),
    "Dice + CE, ours, fused=False": (ours, {"name": "dice+cross_entropy", "fused": False}, "Dice + CE, written out"),
    "Dice, written out": (written_out, {"with_cross_entropy": False}, "Dice, written out"),
    "Dice, ours": (ours, {"name": "dice"}, "Dice, written out"),
    "Dice squared, ours": (ours, {"name": "dice", "squared": True}, "Dice, written out"),
    "Tversky + CE, ours": (ours, {"name": "tversky+cross_entropy"}, "Dice + CE, written out"),
    "Dice + BCE of a sigmoid, written out": (sigmoid_written_out, {}, "Dice + BCE of a sigmoid, written out"),
    "Dice + BCE of a sigmoid, ours": (
        ours,
        {"name": "dice+binary_cross_entropy", "activation": "sigmoid"},
        "Dice + BCE of a sigmoid, written out",
    ),
}


def inputs(shape):
    """Ids and logits, drawn by NumPy: TensorFlow's allocator would keep what its random kernels use, and reuse it."""
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(0)
    ids = rng.integers(0, shape[-1], shape[:-1], dtype=np.int32)
    return tf.constant(ids), tf.constant(rng.standard_normal(shape, dtype=np.float32))


def step_of(row):
    """The training step of a row: `(ids, logits) -> (loss, gradient)`."""
    import tensorflow as tf

    make, arguments, _ = ROWS[row]
    loss = make(**arguments)

    @tf.function
    def step(ids, logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(ids, logits)
        return value, tape.gradient(value, logits)

    return step


def measure_peak(row, shape):
    """Peak of this process above the inputs, in units of the logits."""
    import numpy as np

    ids, logits = inputs(shape)
    step = step_of(row)
    side = [min(size, 256) for size in shape[1:-1]]
    step(*inputs((1, *side, shape[-1])))
    with open("/proc/self/statm", encoding="utf-8") as statm:
        before = int(statm.read().split()[1]) * resource.getpagesize()
    value, gradient = step(ids, logits)
    assert np.isfinite(float(value)) and gradient.shape == logits.shape
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return (peak - before) / (4 * np.prod(shape))


def measure_times(shape):
    """Milliseconds of each row, by the clock and of all cores, medians of interleaved rounds; and each row's value."""
    ids, logits = inputs(shape)
    steps = {row: step_of(row) for row in ROWS}
    values = {row: float(step(ids, logits)[0]) for row, step in steps.items()}
    times = {row: [] for row in steps}
    for _ in range(ROUNDS):
        for row, step in steps.items():
            start = time.perf_counter(), time.process_time()
            value, gradient = step(ids, logits)
            float(value), gradient[0, 0].numpy()
            ends = time.perf_counter(), time.process_time()
            times[row].append([1000 * (end - begun) for begun, end in zip(start, ends, strict=True)])
            del value, gradient
    medians = {row: [statistics.median(t) for t in zip(*rounds, strict=True)] for row, rounds in times.items()}
    return medians, values


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="8,512,512,21", help="batch,height,width,classes")
    parser.add_argument("--peak-of", choices=ROWS, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    shape = tuple(int(size) for size in given.shape.split(","))
    if given.peak_of:
        print(json.dumps(measure_peak(given.peak_of, shape)))
        return
    peaks = {}
    for row in ROWS:
        command = [sys.executable, "-m", "benchmarks.losses", "--shape", given.shape, "--peak-of", row]
        peaks[row] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])
    times, values = measure_times(shape)
    print(f"shape {shape}, forward and backward, {os.cpu_count()} CPU cores\n")
    print("| loss | time, ms | against written out | of all cores, ms | against written out | peak / logits | value |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row, (_, _, reference) in ROWS.items():
        of_row = zip(times[row], times[reference], strict=True)
        cells = " | ".join(f"{own:.0f} | {own / others:.2f}" for own, others in of_row)
        print(f"| {row} | {cells} | {peaks[row]:.2f} | {values[row]:.6f} |")


if __name__ == "__main__":
    main()
