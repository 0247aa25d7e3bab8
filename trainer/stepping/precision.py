"""Precision: which arithmetic the model uses, and the scale that keeps float16 gradients from vanishing.

Logits, losses, metrics, normalisation statistics and weights are float32 under every policy.
"""

from __future__ import annotations

import dataclasses
import pathlib

import tensorflow as tf

INITIAL_SCALE = 2.0**15
GROWTH_STEPS = 2000
# The NVIDIA compute capability from which on there are fast units: Ampere and Volta.
_BFLOAT16_FROM = (8, 0)
_FLOAT16_FROM = (7, 0)


@dataclasses.dataclass(frozen=True)
class Precision:
    """Attributes: policy: a Keras dtype policy's name; reason: a sentence for the user."""

    policy: str
    reason: str

    @property
    def scales_loss(self) -> bool:
        """Only float16 needs it: bfloat16 has float32's range."""
        return self.policy == "mixed_float16"


@dataclasses.dataclass(frozen=True)
class Hardware:
    """The hardware, as far as it matters for the choice.

    Attributes:
      capabilities: compute capability (major, minor) of each GPU; None for one that has no such number.
      tpu: there is a TPU.
      cpu_bfloat16: the processor has instructions for bfloat16.
    """

    capabilities: tuple[tuple[int, int] | None, ...] = ()
    tpu: bool = False
    cpu_bfloat16: bool = False


def choose(asked: str) -> Precision:
    """Turns `config.precision` into a policy; "auto" looks at the devices."""
    return decide(asked, _hardware())


def decide(asked: str, hardware: Hardware) -> Precision:
    """`choose` for given hardware. The weakest of several GPUs decides: all replicas compute alike."""
    if asked == "auto":
        return _automatic(hardware)
    return Precision(asked, f"{asked}, as asked{_regret(asked, hardware)}")


def _automatic(hardware: Hardware) -> Precision:
    if hardware.tpu:
        return Precision("mixed_bfloat16", "mixed_bfloat16: the TPU's own")
    if hardware.capabilities:
        if None in hardware.capabilities:
            return Precision(
                "float32", "float32: the GPU does not say what it computes fast; to try: --precision=mixed_bfloat16"
            )
        lowest = min(hardware.capabilities)
        version = f"compute capability {lowest[0]}.{lowest[1]}"
        if lowest >= _BFLOAT16_FROM:
            return Precision("mixed_bfloat16", f"mixed_bfloat16: {version} has it, and it needs no loss scale")
        if lowest >= _FLOAT16_FROM:
            return Precision("mixed_float16", f"mixed_float16: {version} has tensor cores for it and not for bfloat16")
        return Precision("float32", f"float32: {version} has no fast half precision")
    if hardware.cpu_bfloat16:
        return Precision(
            "float32", "float32; this processor has bfloat16, which may be faster: --precision=mixed_bfloat16"
        )
    return Precision("float32", "float32: no GPU is here")


def _regret(asked: str, hardware: Hardware) -> str:
    """What to expect of a precision that these devices do not support well; "" where they do."""
    if asked == "float32":
        return ""
    if hardware.tpu:
        return "; a TPU computes in bfloat16: better --precision=mixed_bfloat16" if asked == "mixed_float16" else ""
    known = [capability for capability in hardware.capabilities if capability is not None]
    if known:
        needed = _BFLOAT16_FROM if asked == "mixed_bfloat16" else _FLOAT16_FROM
        slow = min(known) < needed
        return "; compute capability {}.{} has no fast units for it: expect no gain".format(*min(known)) if slow else ""
    if hardware.capabilities:
        return ""
    if asked == "mixed_float16":
        return "; a CPU emulates float16: expect about five times the time of float32"
    return "" if hardware.cpu_bfloat16 else "; this processor has no instructions for bfloat16: expect it to be slower"


def _hardware() -> Hardware:
    details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return Hardware(
        tuple(detail.get("compute_capability") for detail in details),
        bool(tf.config.list_logical_devices("TPU")),
        cpu_has_bfloat16(),
    )


def cpu_has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16."""
    info = pathlib.Path("/proc/cpuinfo")
    flags = info.read_text(encoding="utf-8") if info.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


class LossScale:
    """A dynamic loss scale in variables: halved when a step overflows, doubled after 2000 good steps in a row.

    It is updated once a step, after the gradients are reduced over all replicas, so that all replicas and workers take
    the same decision. `keras.mixed_precision.LossScaleOptimizer` tests before the reduction, and they disagree.
    """

    def __init__(self, enabled: bool):
        def variable(value, dtype, name):
            return tf.Variable(
                value,
                trainable=False,
                dtype=dtype,
                name=f"loss_scale/{name}",
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )

        self.enabled = enabled
        self.scale = variable(INITIAL_SCALE if enabled else 1.0, tf.float32, "scale")
        self.good_steps = variable(0, tf.int64, "good_steps")

    @property
    def variables(self) -> list[tf.Variable]:
        return [self.scale, self.good_steps] if self.enabled else []

    def update(self, finite: tf.Tensor) -> None:
        """Updates the scale after a step; `finite` is a scalar bool. Call it in cross-replica context."""
        if not self.enabled:
            return
        good = tf.where(finite, self.good_steps + 1, tf.zeros_like(self.good_steps))
        grow = good >= GROWTH_STEPS
        scale = tf.where(finite, tf.where(grow, self.scale * 2.0, self.scale), self.scale * 0.5)
        self.scale.assign(tf.clip_by_value(scale, 1.0, 2.0**24))
        self.good_steps.assign(tf.where(grow, tf.zeros_like(good), good))
