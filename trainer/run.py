"""`Run`: a training run, as a script or a notebook holds it. It builds the parts once and has a verb for everything
done with them.

run = Run(Config(train=Train(length="5 epochs")), workdir="runs/a", model=my_model, loss=my_loss, data=my_data)
result = run.train()
run.evaluate(); run.predict(images); run.export("out")
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import numbers
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from configs.knobs import changed
from configs.reading.line_wrapping import wrapped
from configs.reading.nearest import did_you_mean
from configs.reading.setting_names import named
from configs.schema import Config
from trainer import console, workdir
from trainer.assembly import make_state, make_task, receive
from trainer.checkpoints import folder as checkpoints
from trainer.checkpoints.extend import kept_from
from trainer.checkpoints.host import HostState
from trainer.checkpoints.lock import WorkdirLock
from trainer.checkpoints.resume import config_of
from trainer.checkpoints.saver import Saver
from trainer.console import naming_settings
from trainer.data import DataError, DataSets, open_data, open_evaluated, other_data
from trainer.distribution import strategy as distribution
from trainer.errors import EXIT_FAILED, UserError
from trainer.evaluation.best_score import best_score, check_metrics, highest_is_best
from trainer.evaluation.own_metrics import build_metrics
from trainer.prediction.postprocessing import PostProcessing
from trainer.reporting.clock import Clock
from trainer.reporting.memory.out_of_memory import explaining_memory
from trainer.result import Result
from trainer.stepping import precision
from trainer.stepping.intervals import make_intervals
from trainer.stepping.segmentation import Segmentation
from trainer.stepping.state import TrainState
from trainer.stepping.task import Task, total_loss
from trainer.stepping.totals import Totals
from trainer.stepping.waiting_for_data import Waiting


@contextlib.contextmanager
def _writing(output: str) -> Iterator[None]:
    """What cannot be written inside is named."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{error.filename or output} cannot be written: {error.strerror or error}.\n  Another folder: --output=…",
            exit_code=EXIT_FAILED,
        ) from error


class Run:
    """A training run and what follows it.

    Args:
      config: the configuration; None is `Config()`.
      workdir: directory of the run: config.json, checkpoints, metrics.jsonl, TensorBoard's event files; default
        runs/<config.name>. Training continues where an earlier run in it stopped.
      model: a `keras.Model`; a function or class that makes one, called in the strategy's scope with `input_channels`
        and `outputs` where it names them (needed on several replicas); or a name.
      loss: `function(y_true, y_pred)`, a Keras loss, or a name.
      data: anything with `len()` and `[i]` that gives (image, label) or a dict; a pair of arrays; a `tf.data.Dataset`;
        {"train": …, "validation": …} of these; or a name. None takes the config's source.
      metrics: name -> function of (label, prediction) of an image, or of the confusion counts.
      optimizer: a Keras optimizer, with its own rate; its class; or a name.
      schedule: a Keras schedule, a function of the step, or a name, for an optimizer by name.
      augment: functions of (example, random) called after the built-in augmentation.
      actions: pairs (when, function of (run, step)): (100, f), ("2 epochs", f), ("evaluation", f), ("end", f).
      task: a `Task`, or its class, in place of segmentation.
      force: go on in the workdir although fields of the config changed that make it another run.
      extend: go on in the workdir with more examples, classes added at the end, or a longer run.

    Raises:
      UserError: with everything that is wrong with the arguments and the config.

    Attributes:
      config: with the classes and channels that the data have, once these are open.
      pictures: of the last `evaluate`, a list of `trainer.evaluation.pictures.Picture`.
      members: checkpoints of an ensemble while it replaces the run's network; see `weights`.
      current_step, report, report_step, scores, scores_step, memory, rate_factor: for actions; see there.
    """

    @naming_settings()
    def __init__(
        self,
        config: Config | None = None,
        *positional,
        workdir: str | os.PathLike = "",
        force: bool = False,
        extend: bool = False,
        **parts,
    ):
        self.config, self.parts = receive(config, parts, positional)
        if not isinstance(workdir, (str, os.PathLike)):
            raise UserError(f"workdir={workdir!r} is of type {type(workdir).__name__}: write the path of a folder.")
        self.force, self.extend = force, extend
        self.workdir = os.fspath(workdir) or os.path.join("runs", self.config.name)
        if extend and (before := config_of(self.workdir)) is not None:
            self.config = kept_from(before, self.config)
        self.host = HostState()
        # Step -> micro-batches from there on, where train.accumulate=auto found that a step did not fit.
        self.found_micro_batches: dict[int, int] = {}
        self.scores = None
        self.pictures = []
        self.journal = None
        self.lock: WorkdirLock | None = None
        self.training = False
        self.hinted = False  # that the step waits for its data
        self._start: checkpoints.Saved | None = None  # what `resume` found before the data were known
        self.notes: list[str] = []
        self.members: list[checkpoints.Saved] = []
        self.taken: checkpoints.Saved | None = None  # the checkpoint whose weights are in place

    # --- what a run is made of, made when it is first needed

    @functools.cached_property
    def devices(self) -> distribution.Devices:
        if self.config.deterministic:
            tf.config.experimental.enable_op_determinism()
        return distribution.choose(self.config)

    @property
    def strategy(self) -> tf.distribute.Strategy:
        return self.devices.strategy

    @property
    def log(self) -> Callable[[str], None]:
        """Logs a line, on the chief only."""
        return _log if self.devices.chief else console.silent

    @property
    def named_config(self) -> Config:
        """The config with the names of parts that were handed over, in the place of names that nothing reads."""
        return self.parts.named_in(self.config)

    @functools.cached_property
    @naming_settings()
    def data(self):
        """The two splits; opening them puts their classes and channels into the config."""
        return self._open(self.parts.data)

    def _open(self, source):
        self.devices  # noqa: B018 - before anything that makes a tensor: a cluster can be joined only then
        with explaining_memory(self.config, "reading the data"):
            data = open_data(self.config, source, self.parts.augment)
        self.config = data.config
        distribution.check_batch(self.config, self.devices.replicas)
        return data

    @functools.cached_property
    def intervals(self):
        return make_intervals(self.config, self.data.train.length)

    @functools.cached_property
    def metrics(self):
        return build_metrics(self.parts.metrics, self.config.evaluate.metrics, keys=self.data.train.features)

    @functools.cached_property
    def precision(self) -> precision.Precision:
        return precision.choose(self.config.precision)

    @functools.cached_property
    @naming_settings()
    def task(self) -> Task:
        data = self.data  # opens them: what they say belongs to the config
        with explaining_memory(self.named_config, "building the model"):
            task, self.config, notes = make_task(
                self.config, self.parts, data, self.devices, self.precision, steps=lambda: self.intervals.total
            )
        self.notes = [*self.notes, *notes]
        check_metrics(self.metrics, self.config, task, list(data.train.features))
        return task

    @functools.cached_property
    @naming_settings()
    def state(self) -> TrainState:
        task = self.task
        with explaining_memory(self.named_config, "building the model"):
            return make_state(task, self.config, self.parts, self.intervals, self.devices, self.precision)

    @functools.cached_property
    def totals(self) -> Totals:
        with self.strategy.scope():
            return Totals()

    @functools.cached_property
    def waiting(self) -> Waiting:
        return Waiting()

    @functools.cached_property
    def clock(self) -> Clock:
        return Clock(self.config.train.batch_size)

    @functools.cached_property
    def saver(self) -> Saver:
        checkpoint = self.config.checkpoint
        return Saver(
            self.workdir,
            keep=checkpoint.keep,
            keep_best=checkpoint.keep_best,
            metric=self.metric,
            writes=self.devices.chief,
            log=self.log,
        )

    # --- for actions

    @property
    def current_step(self) -> int:
        """Steps done."""
        return int(self.state.step.numpy())

    @property
    def report(self) -> dict[str, float]:
        """The last training report, as in metrics.jsonl: "loss", "loss/<term>", "learning_rate" …; empty before it."""
        return self.host.last_report

    @property
    def report_step(self) -> int:
        """The step that `report` is of; 0 before the first."""
        return self.host.reported

    @property
    def scores_step(self) -> int:
        """The step that `scores` are of; 0 before the first evaluation."""
        return self.host.evaluated

    @property
    def memory(self) -> dict[str, Any]:
        """What actions keep over a restart: numbers, text, lists and mappings."""
        return self.host.memory

    @property
    def micro_batches(self) -> int:
        """The number of micro-batches on each replica in the next step."""
        if self.config.train.accumulate != "auto":
            return self.config.train.micro_batches
        step, share = self.current_step, self.config.train.batch_size // self.devices.replicas
        found = [count for s, count in sorted(self.found_micro_batches.items()) if s <= step]
        # A number found on other replicas may not divide today's share.
        return next(n for n in range(min(found[-1] if found else 1, share), share + 1) if share % n == 0)

    @property
    def rate_factor(self) -> float:
        """A factor of every learning rate."""
        return float(self.state.rate_factor.numpy())

    @rate_factor.setter
    def rate_factor(self, value: float) -> None:
        if not isinstance(value, numbers.Real) or not 0 <= value < math.inf:
            raise UserError(
                f"run.rate_factor={value!r}: what every learning rate is multiplied by is a number, 0 or more."
            )
        self.state.rate_factor.assign(value)

    def __setattr__(self, name: str, value: Any) -> None:
        # `taken` is the last attribute that __init__ makes.
        if (
            "taken" in self.__dict__
            and not name.startswith("_")
            and name not in self.__dict__
            and not hasattr(type(self), name)
        ):
            hint = (
                did_you_mean(name, ("rate_factor", "memory")) if "rate" not in name else " Assign to run.rate_factor."
            )
            raise UserError(
                f"A run has no {name!r}: assigning to it does nothing.{hint} What an action is to remember goes into "
                f"run.memory[{name!r}]."
            )
        super().__setattr__(name, value)

    @property
    def metric(self) -> str:
        """The score that picks the best checkpoint and stops early."""
        return best_score(self.config, self.task)

    @property
    def highest_is_best(self) -> bool:
        return highest_is_best(self.config, self.metric, self.metrics)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the weights are replaced by their averages, where there are averages."""
        with self.state.averaged():
            yield

    @naming_settings()
    def save(self, *, again: bool = False) -> None:
        """Saves the state, unless this step is saved already; `again` saves anyway, after a new best score for example.

        All workers have to call it: some variables can only be read by all together.
        """
        workdir.save(self, again=again)

    def go_on_from(self, saved: checkpoints.Saved) -> None:
        """Restores a checkpoint, on the device and on the host."""
        workdir.go_on_from(self, saved)

    def forward_loss(self, batch) -> Callable[[], tf.Tensor]:
        """The scalar loss of a batch as a function without arguments, for the guard to run."""
        return lambda: total_loss(self.task, self.state.updates, batch)

    # --- verbs

    @naming_settings()
    def train(self, stop: Callable[[], bool] = lambda: False) -> Result:
        """Trains from the start, or from where the workdir's run stopped, to the end.

        Args:
          stop: called after every call to the device; when it returns true the run is saved and ends.

        Raises:
          UserError: what ended the run, in words; no checkpoint is made of such a state.
        """
        from trainer.training import train

        return train(self, stop)

    @naming_settings()
    def resume(self) -> int:
        """Continues from the workdir's newest checkpoint, in a loop of your own; `train` does so by itself.

        Returns:
          The number of steps done; 0 for a new run.

        Raises:
          UserError: the config or a part changed in a way that makes it another run; see `force`.
        """
        start = workdir.newest_checkpoint(self)
        if start is None:
            return 0
        if self._knows_data:
            workdir.go_on_from(self, start, checked=False)
        else:
            self._start = start
        return start.step

    @property
    def _knows_data(self) -> bool:
        """Whether `data` or the config says what the data are; else the first batch of `step` does."""
        return "data" in self.__dict__ or self.parts.data is not None or self.config.data.source != Config().data.source

    @naming_settings()
    def step(self, batch: Mapping[str, np.ndarray]) -> dict[str, tf.Tensor]:
        """One training step on a global batch of yours, in a loop of your own.

        Guard, replicas, accumulation, precision, finite test, clipping, averages and counters are those of `train`;
        evaluating and saving is up to you: `run.save()`, `run.evaluate(checkpoint=None)`, `run.resume()`. Where neither
        `data` nor config.data.source say what the data are, the first batch does: its channels, and its classes unless
        config.data.classes names them.

        Args:
          batch: "image", usually "label", and whatever the task reads: arrays `[train.batch_size, …]`, as the pipeline
            would give them: images float32, labels int32 class ids.

        Returns:
          The step's report: "loss", "loss/<term>", "gradient_norm" … as scalar tensors, which nobody waits for before
          they are read.
        """
        from trainer.own_loop import OwnLoop, checked, data_of

        workdir.hold_for_a_loop(self)
        if "_own_loop" not in self.__dict__:
            if not self._knows_data:
                self.data = self._open(data_of(checked(batch, self.config.train.batch_size), self.config))
            if self._start is not None:
                workdir.go_on_from(self, self._start, checked=False)
                self._start = None
            self._own_loop = OwnLoop(self)
        return self._own_loop(batch)

    @naming_settings()
    def examples_to_score(self, data: Any = None) -> DataSets:
        """Opens the examples that `evaluate` scores, as their validation split; the run's own need not be there.

        Args:
          data: as for `evaluate`; None takes the split of the run's own data that config.data.split names.
        """
        if data is None and self.config.data.split in ("auto", "validation"):
            if self.data.validation is None:
                raise UserError('There are no validation examples: data={"train": …, "validation": …}.')
            return self.data
        if not self.config.data.classes:
            self.data  # noqa: B018 - it says what the classes are
        self.devices  # noqa: B018 - before anything that makes a tensor
        if isinstance(data, (str, os.PathLike)):
            section = other_data(self.config.data, os.fspath(data))
            opened = open_evaluated(dataclasses.replace(self.config, data=section))
        else:
            opened = open_evaluated(self.config, self.parts.data if data is None else data)
        if "data" not in self.__dict__ and "task" not in self.__dict__:
            # A task is built for classes and keys alone, which are the same in both.
            self.data = opened
            try:
                self.task  # noqa: B018
            finally:
                del self.data
        return opened

    @naming_settings()
    def evaluate(self, checkpoint: str | None = "best", data: Any = None, *, ensemble: Sequence = ()):
        """Scores examples: those held out for validation, or others.

        Args:
          checkpoint: "best", "latest", "averaged" (see `average`) or a checkpoint's folder; None takes the weights as
            they are.
          data: scored instead of the validation examples: a folder with images and masks, or a list of such files; data
            as `Run` takes them; or the result of `examples_to_score`.
          ensemble: workdirs of runs or of cross-validations, or checkpoints' folders, whose mean probabilities are
            scored in place of this run's; see `trainer.ensemble`.

        Returns:
          An `Evaluation` (or `TermScores`): `.score("mean_dice")`, `.table()`, `.to_dict()`. Where `postprocess` has
          left something in the workdir, of the masks after it, with `without_postprocessing`.

        Raises:
          UserError: members of the ensemble do not go together, or were trained on what is to be scored.
        """
        from trainer.evaluation.evaluator import make_evaluator
        from trainer.reporting.progress import Progress

        examples = data if isinstance(data, DataSets) else self.examples_to_score(data)
        with self.weights(checkpoint, ensemble, scored=examples):
            # Here and not before: the model may have set the tiles.
            config = dataclasses.replace(self.config, data=examples.config.data) if examples.config else self.config
            evaluate = make_evaluator(
                self.task,
                examples,
                config,
                self.strategy,
                metrics=self.metrics,
                postprocessing=self.postprocessing() if config.evaluate.postprocessing else None,
                progress=Progress("evaluated", self.log),
                remark=lambda text: self.log(wrapped(text)),
            )
            with explaining_memory(self.config, "evaluation"):
                scores, self.pictures = evaluate()
        return scores

    def write_report(self) -> str:
        """Writes report.html from what the workdir holds, and returns its path; `train` does so by itself."""
        from trainer.reporting.page.report import write_report

        return write_report(self.workdir)

    @naming_settings()
    def predict(
        self,
        images,
        output: str | os.PathLike = "",
        checkpoint: str | None = "best",
        *,
        ensemble: Sequence = (),
        **options,
    ):
        """Predicts images of any size.

        Args:
          images: an array `[batch, height, width, channels]` or a list of arrays `[height, width, channels]`; or paths
            of files, folders and patterns, whose masks and overlays are written to `output`.
          output: a directory, for paths; default <workdir>/predictions.
          checkpoint, ensemble: as for `evaluate`.
          **options: fields of config.predict, in place of the config's: mirror, postprocessing, probabilities,
            overlays, skip_existing; see docs/predict.md.

        Returns:
          Of arrays: int32 class ids `[height, width]` each, stacked where an array came in (or what the task's
          `predict` gives); with probabilities="float16" these, `[height, width, classes]` each, instead. Of paths: the
          list of those that failed.

        Raises:
          ConfigError: an option does not exist, or its value is not allowed.
        """
        from trainer.prediction.predict import predict

        with self.weights(checkpoint, ensemble):
            config = dataclasses.replace(self.config, predict=changed(self.config.predict, options))
            output = os.fspath(output) or os.path.join(self.workdir, "predictions")
            with _writing(output):
                return predict(
                    self.task,
                    images,
                    output,
                    config,
                    devices=self.devices,
                    postprocessing=self.postprocessing() if config.predict.postprocessing else None,
                    report=self.log,
                )

    @naming_settings()
    def export(
        self,
        output: str | os.PathLike = "",
        formats: Sequence[str] = (),
        checkpoint: str | None = "best",
        *,
        ensemble: Sequence = (),
    ) -> list[str]:
        """Writes the model in each format and compares it with the model; see `trainer.export`. Returns a line each.

        The default formats are "saved_model" and, for images, "litert", which cannot hold a U-Net of volumes. A task
        other than segmentation is exported as what its `predict` computes of images; see `trainer.export.task`.
        """
        from trainer.export.export import export, usual_formats
        from trainer.export.task import export_task

        formats = formats or usual_formats(self.config)
        output = os.fspath(output) or os.path.join(self.workdir, "export")
        if not isinstance(self.task, Segmentation):
            with self.weights(checkpoint), _writing(output), explaining_memory(self.config, "export"):
                return [named(line) for line in export_task(self.task, self.config, output, formats)]
        try:
            data = self.data
        except DataError as error:
            # A model is exported where its data are not: it is compared then, and not scored.
            self.log(f"  note: nothing can be scored: {str(error).splitlines()[0]}")
            data = None
        with self.weights(checkpoint, ensemble):
            post = self.postprocessing()
            with _writing(output), explaining_memory(self.config, "export"):
                lines = export(self.task.model, self.config, output, formats, data=data, postprocessing=post)
                return [named(line) for line in lines]

    @naming_settings()
    def check(self):
        """Data, loss, gradients and some steps on one batch, tried on copies; see `trainer.check`."""
        from trainer.check import check

        with explaining_memory(self.config, "reading the data"):
            return check(self)

    @naming_settings()
    def crossvalidate(self, stop: Callable[[], bool] = lambda: False):
        """A run for each of config.data.folds folds, and the scores of all examples; see `trainer.crossvalidation`.

        Args:
          stop: as for `train`.
        """
        from trainer.crossvalidation import crossvalidate

        return crossvalidate(self, stop)

    @naming_settings()
    def postprocess(self, checkpoint: str = "best"):
        """Chooses what is done to masks after the network, and leaves it in the workdir; see `trainer.postprocess`.

        Args:
          checkpoint: as for `evaluate`; of a cross-validation of each fold.
        """
        from trainer.postprocess.search import postprocess

        return postprocess(self, checkpoint)

    @naming_settings()
    def average(self):
        """Averages the last checkpoints, and keeps the mean if it scores better; see `trainer.checkpoint_averaging`."""
        from trainer.checkpoint_averaging import average

        return average(self)

    @naming_settings()
    def audit_labels(self, stop: Callable[[], bool] = lambda: False):
        """Images, and regions in them, whose labels are probably wrong; writes audit.csv and audit.html.

        With `Data(folds=5)` each image is judged by the fold's run that has not seen it; folds that are not there are
        trained, as `crossvalidate` does it. In the workdir of a run without folds its validation images are judged.

        Args:
          stop: as for `train`, while folds are trained.

        Returns:
          A `trainer.label_audit.audit.LabelAudit`: `.images`, `.table()`, `.rows()`.
        """
        from trainer.label_audit.audit import audit_labels

        return audit_labels(self, stop)

    @naming_settings()
    def sweep(self, sweep, stop: Callable[[], bool] = lambda: False):
        """Tries settings from a sweep's ranges, one run for each; see `trainer.sweep.sweep`.

        Args:
          sweep: a `configs.sweep.Sweep`, or the path of a file with `get_sweep()`.
          stop: as for `train`.

        Returns:
          A `SweepResult`: `.best.settings`, `.table()`, `.trials`.
        """
        from trainer.sweep.sweep import sweep as run_sweep

        return run_sweep(self, sweep, stop)

    def with_config(self, config: Config, workdir: str | os.PathLike) -> Run:
        """A run with the same parts, but another config and workdir."""
        given = {field.name: getattr(self.parts, field.name) for field in dataclasses.fields(self.parts)}
        return Run(
            config, workdir=workdir, force=self.force, **{k: v for k, v in given.items() if v not in (None, (), {})}
        )

    @naming_settings()
    def plan(self, *, given: Sequence[str] = (), **options):
        """A recipe drawn from the config's data, after timing some steps; see `trainer.plan`.

        Args:
          given: paths of fields that stay as they are, such as "model.width".
          options: `progress` and `measuring` of `trainer.plan.plan`.
        """
        from trainer.plan import plan

        if self.parts.data is not None:
            raise UserError(
                "A plan is drawn from data that a config names, since its steps are timed in a process of their own: "
                'write Run(Config(data=Data(source="package.module:function"))).plan().'
            )
        return plan(self.config, given=given, log=self.log, **options)

    @naming_settings()
    def describe(self, *, layers: bool = False) -> str:
        """What `train` would do and the memory that it would take, without doing it.

        Args:
          layers: adds a table of each model's layers.
        """
        from trainer.reporting.memory.estimate import described
        from trainer.reporting.overview import layer_tables, opening_text

        memory = "\n".join(["Memory, estimated:", *(f"  {line}" for line in described(self))])
        return named("\n\n".join([opening_text(self), *(layer_tables(self) if layers else ()), memory]))

    def postprocessing(self) -> PostProcessing | None:
        """The post-processing that `postprocess` left in the workdir; None where there is none, or it is for other
        networks."""
        from trainer.postprocess.chosen import chosen_for

        return chosen_for(self)

    def weights(
        self, checkpoint: str | None, ensemble: Sequence = (), *, scored: DataSets | None = None
    ) -> contextlib.AbstractContextManager[checkpoints.Saved | None]:
        """Inside, the models have the weights of a checkpoint.

        Args:
          checkpoint: "best", "latest", "averaged" or a folder; None takes the current weights, averaged where there are
            averages, or the ensemble that is in place already.
          ensemble: members that replace the network; the checkpoint of the first is returned.
          scored: examples that members must not have been trained on.
        """
        from trainer.weights import weights_of

        return weights_of(self, checkpoint, ensemble, scored)


def _log(text: str) -> None:
    console.log(named(text))
