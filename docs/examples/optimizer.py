"""An optimizer and a schedule of your own."""

import keras
import numpy as np

from configs.schema import Augment, Config, Model, Optimizer, Train
from trainer import Run

random = np.random.default_rng(0)
labels = np.zeros((40, 48, 48), "uint8")
for label in labels:
    row, column = random.integers(4, 30, 2)
    label[row : row + 14, column : column + 10] = 1
images = (random.normal(90, 25, labels.shape) + 60 * labels).clip(0, 255).astype("uint8")


class SignDescent(keras.optimizers.Optimizer):
    """Goes by the sign of the averaged gradient (Bernstein et al. 2018, "signSGD with momentum")."""

    def __init__(self, learning_rate=1e-3, momentum=0.9, name="sign_descent", **options):
        super().__init__(learning_rate=learning_rate, name=name, **options)
        self.momentum = momentum

    def build(self, variables):
        if not self.built:
            super().build(variables)
            self.averages = self.add_optimizer_variables(variables, "average")

    def update_step(self, gradient, variable, learning_rate):
        average = self.averages[self._get_variable_index(variable)]
        self.assign(average, self.momentum * average + (1 - self.momentum) * gradient)
        self.assign_sub(variable, learning_rate * keras.ops.sign(average))

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum}


def triangle(learning_rate, total_steps):
    """Called once with those of learning_rate, total_steps and warmup_steps that it names; gives the rate at a step."""
    half = total_steps / 2
    return lambda step: learning_rate * (1 - abs(step - half) / half) + 1e-5


config = Config(
    model=Model(width=8, depth=2),
    # A class, by contrast to an object, gets the schedule as its rate, and `options`.
    optimizer=Optimizer(learning_rate=6e-3, options={"momentum": 0.8}),
    train=Train(length="60 steps", batch_size=8, log_every="10 steps"),
    augment=Augment(crop=(48, 48)),
)
rates = {}
note = lambda run, step: rates.update({step: run.report["learning_rate"]})  # noqa: E731
parts = {"optimizer": SignDescent, "schedule": triangle, "actions": [("10 steps", note)]}
run = Run(config, workdir="runs/optimizer", data=(images, labels), **parts)
result = run.train()
print("rates:", ", ".join(f"step {step} {rate:.5f}" for step, rate in rates.items()))
print(f"mean Dice {result.scores['mean_dice']:.3f}")
