"""A training run: what is wired together once, and the state that the host keeps beside the device's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import tensorflow as tf

from configs.schema import Config
from trainer.checkpoints.folder import Saved
from trainer.checkpoints.restore import restore
from trainer.checkpoints.saver import Saver
from trainer.distribution.strategy import Devices
from trainer.reporting.clock import Clock
from trainer.stepping.intervals import Plan
from trainer.stepping.objective import Objective
from trainer.stepping.state import TrainState
from trainer.stepping.totals import Totals


@dataclasses.dataclass
class HostState:
    """What a continued run needs and no variable holds.

    Attributes:
      best_score, best_step: of `config.evaluate.metric`; None before the first evaluation.
      evaluations_since_best: for `config.evaluate.patience`.
      reported, evaluated: the last step that was; what is due at the step of a checkpoint and was not done before it
        (the run was asked to stop) is done when the run goes on.
      report: sums of the training's report since the last one.
      skipped_data: steps of the data left out after a divergence; the data go on without them.
      returns: times the run went back to a checkpoint.
      trained: seconds of training so far.
      data: of which files the splits consist; see `resume.describe_data`.
    """

    best_score: float | None = None
    best_step: int | None = None
    evaluations_since_best: int = 0
    reported: int = 0
    evaluated: int = 0
    report: list[float] = dataclasses.field(default_factory=list)
    skipped_data: list[int] = dataclasses.field(default_factory=list)
    returns: int = 0
    trained: float = 0.0
    data: dict[str, list] = dataclasses.field(default_factory=dict)

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

    def patience_over(self) -> str | None:
        """Why early stopping has ended the run, or None."""
        host, evaluate = self.host, self.config.evaluate
        if not evaluate.patience or host.evaluations_since_best < evaluate.patience:
            return None
        best = f": best {host.best_score:.4f} at step {host.best_step}" if host.best_score is not None else ""
        return f"{evaluate.metric} has not risen for {host.evaluations_since_best} evaluations{best}"

    def is_finished(self) -> bool:
        """Whether nothing is left to do at this step."""
        step, total = self.step(), self.plan.total
        return step > total or (step == total and self.host.evaluated == step) or self.patience_over() is not None

    def save(self, *, again: bool = False) -> None:
        """Saves the state as it is, unless this step is saved already; `again` is for a new best, say.

        All workers have to call it alike: some variables can be read only by all together.
        """
        # Only the chief knows of a save that failed and is to be tried again.
        if not self.devices.any_worker(again or self.saver.last_step != self.step()):
            return
        with self.clock.pause():
            self.host.trained = self.clock.trained
            self.host.report = self.totals.sums()
            self.saver.save(self.state, dataclasses.asdict(self.host))

    def go_on_from(self, saved: Saved) -> None:
        """Puts the device's and the host's state back to what a checkpoint holds."""
        restore(self.state, saved)
        self.host = dataclasses.replace(HostState.from_saved(saved.host), data=self.host.data)
        self.totals.restore(self.host.report)
        self.saver.last_step = saved.step
