"""Runs of the real step on logical replicas, for tests that compare their weights."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from configs.schema import Augment, Config, Data, Model, Optimizer, Train
from trainer.models.blocks import conv_block, logits_head
from trainer.models.build import build_model, dtype_policy, fresh_names
from trainer.models.input_scaling import scale_input
from trainer.seeds import seeded
from trainer.stepping.objective import build_objective
from trainer.stepping.optimizer import build_optimizer
from trainer.stepping.schedule import build_schedule
from trainer.stepping.segmentation import Segmentation
from trainer.stepping.state import TrainState, build_updates, new_rate_factor
from trainer.stepping.step import Steps, make_train_steps
from trainer.stepping.task import build_task
from trainer.stepping.totals import Totals

BATCH = 8


def tiny(**changes) -> Config:
    """A U-Net of one level on 16 x 16 crops, Adam at 1e-3 with clipping, two micro-batches and averaged weights."""
    config = Config(
        data=Data(channels=3, classes=("background", "disc")),
        augment=Augment(crop=(16, 16)),
        model=Model(width=4, depth=1),
        train=Train(length="10 steps", batch_size=BATCH, accumulate=2),
        optimizer=Optimizer(
            name="adam", learning_rate=1e-3, weight_decay=0.0, schedule="constant", warmup="0 steps", ema_decay=0.9
        ),
    )
    return replace(config, **changes)


def replace(config: Config, **changes) -> Config:
    """`replace(config, train=dict(accumulate=1), seed=3)`."""
    for name, value in changes.items():
        if isinstance(value, dict):
            value = dataclasses.replace(getattr(config, name), **value)
        config = dataclasses.replace(config, **{name: value})
    return config


def batches(steps: int, *, seed: int = 0, size: int = 16, classes: int = 2, void: bool = True) -> list[dict]:
    """Global batches of bright squares on noise, with their masks and some void pixels."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(steps):
        image = random.uniform(0, 120, (BATCH, size, size, 3)).astype("float32")
        label = np.zeros((BATCH, size, size), "int32")
        for i in range(BATCH):
            for c in range(1, classes):
                y, x = random.integers(0, size - 6, 2)
                h, w = random.integers(3, 7, 2)
                label[i, y : y + h, x : x + w] = c
                image[i, y : y + h, x : x + w] += 90.0 * c / (classes - 1)
            if void and i % 3 == 0:
                label[i, : random.integers(1, 4)] = 255
        made.append({"image": image, "label": label})
    return made


def mirrored(replicas: int) -> tf.distribute.Strategy:
    if replicas == 1:
        return tf.distribute.get_strategy()
    names = [device.name for device in tf.config.list_logical_devices("CPU")[:replicas]]
    return tf.distribute.MirroredStrategy(names, cross_device_ops=tf.distribute.ReductionToOneDevice())


@dataclasses.dataclass
class Made:
    """The parts of a run, for a test to look at."""

    config: Config
    strategy: tf.distribute.Strategy
    state: TrainState
    totals: Totals
    steps: Steps

    @property
    def model(self) -> keras.Model:
        return next(iter(self.state.models.values()))

    @property
    def train_steps(self):
        return self.steps.many

    def iterator(self, data: list[dict]):
        """Distributes global batches as the program does: consecutive slices, one a replica."""
        n = self.strategy.num_replicas_in_sync

        def own_parts(context):
            local = n // context.num_input_pipelines
            first = context.input_pipeline_id * local
            elements = [
                {k: v[i * BATCH // n : (i + 1) * BATCH // n] for k, v in batch.items()}
                for batch in data
                for i in range(first, first + local)
            ]
            stacked = {k: np.stack([element[k] for element in elements]) for k in elements[0]}
            return tf.data.Dataset.from_tensor_slices(stacked)

        return iter(self.strategy.distribute_datasets_from_function(own_parts))

    def run(self, data: list[dict]) -> Made:
        self.train_steps(self.iterator(data), tf.constant(len(data), tf.int64))
        return self

    def weights(self) -> dict[str, np.ndarray]:
        return {path: variable.numpy() for path, variable in self.state.variables_by_path().items()}


def make(
    config: Config,
    replicas: int = 1,
    *,
    policy: str = "float32",
    model=None,
    strategy=None,
    task=None,
    loss=None,
    optimizer=None,
) -> Made:
    """Wires a run as `trainer.run` does, without data set, workdir and loop.

    Args:
      model: a function that gives the model; None is the configured one.
      task: a function from the model to a task; None is segmentation.
      loss, optimizer: as `Run` takes them.
    """
    strategy = strategy or mirrored(replicas)
    with seeded(config.seed), strategy.scope(), fresh_names():
        if model is None:
            built = build_model(config, policy=policy, replicas=strategy.num_replicas_in_sync)
        else:
            with dtype_policy(policy):
                built = model()
        if task is None:
            classes = config.data.classes
            objective = build_objective(config, len(classes), loss)
            made = Segmentation(built, objective, config, classes, (1,))
        else:
            made = build_task(task, config=config, data=None, model=lambda: built)
        factor = new_rate_factor()
        schedule = build_schedule(config.optimizer, None, total_steps=10, warmup_steps=0)

        def optimizer_of(phase):
            own = phase.optimizer if phase is not None and phase.optimizer is not None else optimizer
            return build_optimizer(config.optimizer, schedule, factor, own)

        updates = build_updates(made, optimizer_of)
        state = TrainState(made, updates, config, scales_loss=policy == "mixed_float16", rate_factor=factor)
        totals = Totals()
    return Made(config, strategy, state, totals, make_train_steps(state, totals, strategy, config))


def make_block(config: Config, replicas: int = 1, **options) -> Made:
    """A run of two convolutions with their normalisation instead of a U-Net: traced in a third of its time."""
    return make(config, replicas, model=lambda: _block(config, replicas), **options)


def _block(config: Config, replicas: int) -> keras.Model:
    images = keras.Input((None, None, config.data.channels), dtype="float32")
    x = scale_input(images, config.model.input_scaling)
    x = conv_block(x, config.model.width, config.model, "block", replicas > 1)
    return keras.Model(images, logits_head(x, len(config.data.classes)), name="one_block")


def difference(a: dict, b: dict) -> tuple[float, str]:
    """The largest relative difference (norm of the difference by the norm) over variables, and whose it is."""
    worst, name = 0.0, ""
    for path, value in a.items():
        norm = np.linalg.norm(value.astype("float64"))
        apart = np.linalg.norm(value.astype("float64") - b[path].astype("float64")) / max(norm, 1e-12)
        if apart > worst:
            worst, name = float(apart), path
    return worst, name


def distance(a: dict, b: dict) -> float:
    """The relative distance of two sets of model weights, taken as one vector."""
    names = [name for name in a if name.startswith("model/")]
    first, second = (np.concatenate([w[name].astype("float64").ravel() for name in names]) for w in (a, b))
    return float(np.linalg.norm(first - second) / np.linalg.norm(first))
