"""Precision: which arithmetic the model uses, and the scale that keeps float16 gradients from vanishing.

Logits, losses, metrics, normalisation statistics and weights are float32 under every policy.
"""

from __future__ import annotations

import dataclasses
import pathlib

import tensorflow as tf

INITIAL_SCALE = 2.0**15
GROWTH_STEPS = 2000


@dataclasses.dataclass(frozen=True)
class Precision:
    """Attributes: policy: a Keras dtype policy's name; reason: a sentence for the user."""

    policy: str
    reason: str

    @property
    def scales_loss(self) -> bool:
        """float16 alone needs it: bfloat16 has float32's range."""
        return self.policy == "mixed_float16"


def choose(asked: str) -> Precision:
    """Turns `config.precision` into a policy, asking the devices when it is "auto"."""
    gpus = tf.config.list_physical_devices("GPU")
    tpus = tf.config.list_logical_devices("TPU")
    if asked == "auto":
        return _automatic(gpus, tpus)
    if asked == "mixed_float16" and not gpus:
        return Precision(
            asked, "mixed_float16, as asked; a CPU emulates float16: expect about five times the time of float32"
        )
    return Precision(asked, f"{asked}, as asked")


def _automatic(gpus, tpus) -> Precision:
    if tpus:
        return Precision("mixed_bfloat16", "mixed_bfloat16: the TPU's own")
    if gpus:
        capability = min(tf.config.experimental.get_device_details(g).get("compute_capability", (0, 0)) for g in gpus)
        version = ".".join(map(str, capability))
        if capability >= (8, 0):
            return Precision(
                "mixed_bfloat16", f"mixed_bfloat16: compute capability {version} has it, and it needs no loss scale"
            )
        if capability >= (7, 0):
            return Precision(
                "mixed_float16", f"mixed_float16: compute capability {version} has float16 tensor cores and no bfloat16"
            )
        return Precision("float32", f"float32: compute capability {version} has no fast half precision")
    if _cpu_has_bfloat16():
        return Precision(
            "float32", "float32; this processor has bfloat16, which may be faster: --precision=mixed_bfloat16"
        )
    return Precision("float32", "float32: no GPU is here")


def _cpu_has_bfloat16() -> bool:
    info = pathlib.Path("/proc/cpuinfo")
    flags = info.read_text() if info.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


class LossScale:
    """A dynamic loss scale in variables: halved when a step overflows, doubled after 2000 good steps in a row.

    It is told once a step, after the gradients were reduced over all replicas, so every replica and worker takes the
    same decision; `keras.mixed_precision.LossScaleOptimizer` asks before the reduction, and they disagree.
    """

    def __init__(self, enabled: bool):
        def variable(value, dtype, name):
            return tf.Variable(
                value, trainable=False, dtype=dtype, name=f"loss_scale/{name}",
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )  # fmt: skip

        self.enabled = enabled
        self.scale = variable(INITIAL_SCALE if enabled else 1.0, tf.float32, "scale")
        self.good_steps = variable(0, tf.int64, "good_steps")

    @property
    def variables(self) -> list[tf.Variable]:
        return [self.scale, self.good_steps] if self.enabled else []

    def update(self, finite: tf.Tensor) -> None:
        """Takes one step's verdict (scalar bool). Call in cross-replica context."""
        if not self.enabled:
            return
        good = tf.where(finite, self.good_steps + 1, tf.zeros_like(self.good_steps))
        grow = good >= GROWTH_STEPS
        scale = tf.where(finite, tf.where(grow, self.scale * 2.0, self.scale), self.scale * 0.5)
        self.scale.assign(tf.clip_by_value(scale, 1.0, 2.0**24))
        self.good_steps.assign(tf.where(grow, tf.zeros_like(good), good))
