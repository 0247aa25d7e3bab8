"""Config -> Keras optimizer and learning-rate schedule."""

from __future__ import annotations

import math

import keras

from configs.schema import Optimizer
from trainer.stepping.adam import Adam, AdamW


@keras.saving.register_keras_serializable("gradline")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear rise over `warmup` steps, then constant, cosine or polynomial fall to `final_fraction` of the peak.

    With t the step, w the warm-up, T the run's length and u = (t - w) / (T - w) clipped to [0, 1]:
    cosine: f + (1 - f) (1 + cos(pi u)) / 2 (Loshchilov, Hutter 2017); poly: f + (1 - f) (1 - u)^power
    (Chen et al. 2017).
    The first step already moves: the rate at step t of the warm-up is peak (t + 1) / (w + 1).
    """

    def __init__(self, peak: float, kind: str, total: int, warmup: int, final_fraction: float, power: float):
        self.peak, self.kind, self.total = peak, kind, total
        self.warmup, self.final_fraction, self.power = warmup, final_fraction, power

    def __call__(self, step):
        ops = keras.ops
        step = ops.cast(step, "float32")
        u = ops.clip((step - self.warmup) / max(1, self.total - self.warmup), 0.0, 1.0)
        if self.kind == "cosine":
            fall = 0.5 * (1.0 + ops.cos(math.pi * u))
        elif self.kind == "poly":
            fall = (1.0 - u) ** self.power
        else:
            fall = ops.ones_like(u)
        low = self.final_fraction if self.kind != "constant" else 0.0
        rise = ops.minimum(1.0, (step + 1.0) / (self.warmup + 1.0))
        return self.peak * rise * (low + (1.0 - low) * fall)

    def get_config(self):
        return dict(peak=self.peak, kind=self.kind, total=self.total, warmup=self.warmup,
                    final_fraction=self.final_fraction, power=self.power)  # fmt: skip


def build_optimizer(config: Optimizer, *, total_steps: int, warmup_steps: int) -> keras.optimizers.Optimizer:
    """Builds the optimizer; call it inside the strategy's scope.

    Clipping, accumulation, averaging and loss scaling are the step's, not the optimizer's: Keras's own act before the
    reduction over replicas and mean something else on two of them.
    """
    schedule = WarmupSchedule(
        config.learning_rate, config.schedule, total_steps, warmup_steps, config.final_fraction, config.power
    )
    if config.name == "sgd":
        return keras.optimizers.SGD(
            schedule, momentum=config.momentum, nesterov=config.nesterov and config.momentum > 0
        )
    moments = dict(beta_1=config.beta_1, beta_2=config.beta_2, epsilon=config.epsilon)
    if config.name == "adam":
        return Adam(schedule, **moments)
    optimizer = AdamW(schedule, weight_decay=config.weight_decay, **moments)
    # Biases and normalisation gains do not overfit; pulling them to zero only shifts the function.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
