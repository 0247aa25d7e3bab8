"""What a user gets: a plain script started as people start scripts, against the same training as main.py starts it.

    python -m benchmarks.start                 # five rounds, some four minutes on two cores
    python -m benchmarks.start --rounds=9

Both train the default nuclei network (`configs/nuclei.py`) on the same tensors with Dice, cross-entropy and AdamW. The
script is `plain_script` below: Keras's layers, a `tf.function` for a step, nothing set before the import. Ours is the
whole step with everything on, in a process that `trainer.process.prepare` has set up. Each is a process of its own, by
turns, and a ratio is the median of the rounds' ratios.

A processor without AVX-512 is imitated with `--imitate_avx2`: in the script's process TensorFlow's default there,
oneDNN off; in ours oneDNN held to AVX2.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable


def plain_script() -> Callable[[int], None]:
    """What somebody would write by hand: the same network of Keras's layers."""
    import keras
    import numpy as np
    import tensorflow as tf
    from keras import layers

    from configs.nuclei import get_config

    config = get_config()
    width, depth, batch, (height, across) = (
        config.model.width,
        config.model.depth,
        config.train.batch_size,
        config.augment.crop,
    )

    def block(x, channels):
        for _ in range(2):
            x = layers.Conv2D(channels, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
            if config.model.normalization == "batch":
                x = layers.BatchNormalization(momentum=config.model.norm_momentum)(x)
            elif config.model.normalization == "group":
                x = layers.GroupNormalization(8)(x)
            x = layers.ReLU()(x)
        return x

    images = keras.Input((height, across, 3))
    x, skips = layers.Rescaling(1 / 255.0)(images), []
    for level in range(depth):
        x = block(x, width * 2**level)
        skips.append(x)
        x = layers.MaxPooling2D(2)(x)
    x = block(x, width * 2**depth)
    for level in reversed(range(depth)):
        x = layers.Concatenate()([layers.UpSampling2D(2)(x), skips[level]])
        x = block(x, width * 2**level)
    model = keras.Model(images, layers.Conv2D(2, 1)(x))
    optimizer = keras.optimizers.AdamW(3e-3, weight_decay=1e-4, global_clipnorm=1.0)

    def loss_of(label, logits):
        entropy = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(label, logits))
        probabilities, target = tf.nn.softmax(logits), tf.one_hot(label, 2)
        overlap = tf.reduce_sum(probabilities * target, axis=(1, 2))
        total = tf.reduce_sum(probabilities + target, axis=(1, 2))
        return entropy + 1.0 - tf.reduce_mean((2.0 * overlap + 1.0) / (total + 1.0))

    @tf.function
    def step(image, label):
        with tf.GradientTape() as tape:
            loss = loss_of(label, model(image, training=True))
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    rng = np.random.default_rng(0)
    image = tf.constant(rng.uniform(0, 255, (batch, height, across, 3)).astype("float32"))
    label = tf.cast(image[..., 0] > 127, tf.int32)

    def run(steps: int) -> None:
        for _ in range(steps):
            loss = step(image, label)
        loss.numpy()

    return run


def as_main_starts_it() -> Callable[[int], None]:
    """The default recipe's step with everything on."""
    import tempfile

    from benchmarks.loop import ours
    from configs.nuclei import get_config

    return ours(get_config(), tempfile.mkdtemp())


def timed(run: Callable[[int], None], steps: int) -> dict[str, float]:
    """Milliseconds a step: wall, and processor time of the user and of the system."""
    run(2)
    run(1)
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    run(steps)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    return {
        "wall": wall / steps * 1e3,
        "user": (after.ru_utime - before.ru_utime) / steps * 1e3,
        "system": (after.ru_stime - before.ru_stime) / steps * 1e3,
    }


def _in_a_process(which: str, steps: int, changes: dict[str, str]) -> dict[str, float]:
    from trainer.process import wanted

    # What this process, or a launcher, has set is no part of how people start scripts.
    environment = {name: value for name, value in os.environ.items() if name not in wanted()}
    command = [sys.executable, "-m", "benchmarks.start", f"--as={which}", f"--steps={steps}"]
    done = subprocess.run(
        command, env={**environment, **changes}, capture_output=True, text=True, encoding="utf-8", check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def compare(rounds: int, steps: int, *, imitate_avx2: bool) -> dict[str, float]:
    """Prints the table; returns the median ratios of ours to the script's, of wall and processor time."""
    from trainer.process import processor

    changes = {"script": {}, "ours": {}}
    if imitate_avx2:
        changes = {"script": {"TF_ENABLE_ONEDNN_OPTS": "0"}, "ours": {"ONEDNN_MAX_CPU_ISA": "AVX2"}}
    rows: dict[str, list[dict[str, float]]] = {"script": [], "ours": []}
    for number in range(rounds):
        for which in list(rows)[:: 1 if number % 2 else -1]:
            rows[which].append(_in_a_process(which, steps, changes[which]))
    here = f"{os.cpu_count()} cores ({', '.join(processor())})" + (", imitating AVX2" if imitate_avx2 else "")
    print(f"the default nuclei step, {rounds} rounds of {steps} steps, {here}")
    print(f"{'':24}{'wall ms':>10}{'user ms':>10}{'system ms':>10}")
    for which, title in (("script", "a plain script"), ("ours", "as main.py starts it")):
        middle = [statistics.median(row[kind] for row in rows[which]) for kind in ("wall", "user", "system")]
        print(f"  {title:<22}" + "".join(f"{value:>10.0f}" for value in middle))
    ratios = {}
    for name, kinds in (("wall", ("wall",)), ("processor", ("user", "system"))):
        each = [
            sum(ours[k] for k in kinds) / sum(script[k] for k in kinds)
            for ours, script in zip(rows["ours"], rows["script"], strict=True)
        ]
        ratios[name] = statistics.median(each)
        print(f"  {name + ' time, ratio':<22}{ratios[name]:>10.3f}   from {min(each):.3f} to {max(each):.3f}")
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=15, help="steps of a round (default 15)")
    parser.add_argument("--imitate_avx2", action="store_true")
    parser.add_argument("--as", dest="which", choices=("script", "ours"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.which == "script":
        print(json.dumps(timed(plain_script(), options.steps)))
    elif options.which == "ours":
        print(json.dumps(timed(as_main_starts_it(), options.steps)))
    else:
        compare(options.rounds, options.steps, imitate_avx2=options.imitate_avx2)


if __name__ == "__main__":
    main()
