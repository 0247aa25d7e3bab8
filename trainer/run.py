"""A training run: what is wired together once, and the state that the host keeps beside the device's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import tensorflow as tf

from configs.schema import Config
from trainer.clock import Clock
from trainer.objective import Objective
from trainer.plan import Plan
from trainer.reports import Totals
from trainer.saver import Saver
from trainer.state import TrainState
from trainer.strategy import Devices


@dataclasses.dataclass
class HostState:
    """What a continued run needs and no variable holds.

    Attributes:
      best_score, best_step: of `config.evaluate.metric`; None before the first evaluation.
      evaluations_since_best: for `config.evaluate.patience`.
      skipped_data: steps of the data left out after a divergence; the data go on without them.
      returns: times the run went back to a checkpoint.
      trained: seconds of training so far.
    """

    best_score: float | None = None
    best_step: int | None = None
    evaluations_since_best: int = 0
    skipped_data: list[int] = dataclasses.field(default_factory=list)
    returns: int = 0
    trained: float = 0.0

    @classmethod
    def from_saved(cls, values: Mapping) -> HostState:
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})


@dataclasses.dataclass
class Run:
    """The parts of one run."""

    config: Config
    workdir: str
    devices: Devices
    data: object
    plan: Plan
    state: TrainState
    objective: Objective
    totals: Totals
    host: HostState
    clock: Clock
    saver: Saver
    tell: Callable[[str], None]

    @property
    def strategy(self):
        return self.devices.strategy

    def step(self) -> int:
        return int(self.state.step.numpy())

    def forward_loss(self, batch) -> Callable[[], tf.Tensor]:
        """The scalar loss of one batch as a function without arguments, for the guard to run."""

        def forward_loss():
            outputs = self.state.model(batch["image"], training=True)
            total = self.objective(batch["label"], outputs).total
            return tf.add_n([total, *self.state.model.losses]) if self.state.model.losses else total

        return forward_loss

    def save(self, *, best: tuple[str, float] | None = None) -> None:
        """Saves the state as it is, unless this step is saved already and is no new best."""
        if self.saver.last_step == self.step() and best is None:
            return
        with self.clock.pause():
            self.host.trained = self.clock.trained
            self.saver.save(self.state, dataclasses.asdict(self.host), best=best)
