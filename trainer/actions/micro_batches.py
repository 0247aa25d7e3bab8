"""`train.accumulate=auto`: a step that does not fit in memory is run again in smaller micro-batches.

A failed attempt leaves no trace: the state is put back to what it was before the call, the steps of the call that fit
are repeated as they were, and the step that did not is computed in the next number of micro-batches that divides a
replica's share. Data and random numbers are functions of the step, so the result is the same as with these numbers of
micro-batches in the config, bit for bit on a CPU. The numbers found, step -> micro-batches, are kept in config.json and
in the checkpoints, so that a continued run repeats them.

All replicas of a process are in one call, which fails as a whole. Where a single worker of several lacks memory, the
others wait for it in a sum that never comes: it saves the number it found and ends, and all start again with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from configs.reading.line_wrapping import wrapped
from configs.reading.setting_names import named
from configs.schema import Config
from trainer.checkpoints.restore import put_back, snapshot
from trainer.checkpoints.resume import write_config
from trainer.data.errors import from_pipeline
from trainer.errors import EXIT_FAILED, UserError
from trainer.reporting.memory.out_of_memory import is_out_of_memory, tensor_of
from trainer.stepping.compiled import CompiledWith
from trainer.stepping.step import Steps, make_train_steps


class Batches:
    """The run's batches, which can be read again from an earlier step on.

    Args:
      begin: called with a step; returns an iterator of the global batches from there on.
    """

    def __init__(self, begin: Callable[[int], object], step: int):
        self._begin, self.iterator = begin, begin(step)

    def restart(self, step: int) -> None:
        self.iterator = self._begin(step)


class FittingSteps:
    """`Steps` in as many micro-batches as it takes.

    Args:
      run: whose state is trained; the numbers found go into `run.found_micro_batches` and config.json.
      warn: as `make_train_steps` takes it.
      config: of the steps, where it is not the run's.
      keep: whether what is found is kept in the workdir.
    """

    def __init__(self, run, warn: Callable | None = None, *, config: Config | None = None, keep: bool = True):
        self._run, self._config, self._keep = run, config or run.config, keep
        self._more = {} if warn is None else {"warn": warn, "remark": self._remark}
        self._remarks = {""}
        self._compiled: dict[int, Steps] = {}
        self._said: str = ""
        self.auto = self._config.train.accumulate == "auto"
        self._steps()  # errors of model and config are raised now
        self._with = CompiledWith(run.state, self._remark)

    def _remark(self, text: str) -> None:
        """Every replica, micro-batch and trace makes the same remark."""
        if text not in self._remarks:
            self._remarks.add(text)
            self._run.log(wrapped(f"warning: {named(text)}"))

    def many(self, batches: Batches, count: tf.Tensor) -> None:
        """As `Steps.many`."""
        self._with.before_call()
        self._many(batches, count)
        self._with.after_call()

    def _many(self, batches: Batches, count: tf.Tensor) -> None:
        if not self.auto:
            self._steps().many(batches.iterator, count)
            return
        run, step = self._run, self._run.current_step
        end = step + int(count)
        while step < end:
            stop = min([end, *(s for s in run.found_micro_batches if s > step)])

            def attempt(step=step, stop=stop):
                self._steps().many(batches.iterator, tf.constant(stop - step, tf.int64))

            if not self._fitted(attempt):
                batches.restart(step)
                continue
            before, step = step, run.current_step
            if step == before:
                return  # halted: a gradient is not finite

    def one(self, batch):
        """As `Steps.one`."""
        self._with.before_call()
        rows = []
        if not self.auto:
            rows.append(self._steps().one(batch))
        else:
            while not self._fitted(lambda: rows.append(self._steps().one(batch))):
                pass
        self._with.after_call()
        return rows[-1]

    def _steps(self) -> Steps:
        """Compiled for the step that the run is at."""
        run, count = self._run, self._run.micro_batches
        if count not in self._compiled:
            config = dataclasses.replace(self._config, train=dataclasses.replace(self._config.train, accumulate=count))
            self._compiled[count] = make_train_steps(
                run.state, run.totals, run.strategy, config, waiting=run.waiting, **self._more
            )
        return self._compiled[count]

    def _fitted(self, attempt: Callable[[], None]) -> bool:
        """Whether `attempt` succeeded. Where memory was lacking, the state is as before and the next attempt takes
        less."""
        run = self._run
        count, before, sums = run.micro_batches, _all_of(run.state), run.totals.sums()
        try:
            attempt()
        except Exception as error:
            more = next_number(run.config.train.batch_size // run.devices.replicas, count)
            if more is None or not is_out_of_memory(error) or from_pipeline(error):
                raise
            failed = run.current_step
            self._note(error, failed, count, more)
        else:
            if self._said:
                run.log(wrapped(self._said))
                self._said = ""
            return True
        # After the except block: the error's traceback holds the attempt's tensors.
        if run.devices.workers > 1:
            raise UserError(
                f"{self._said}\n  Saved in the workdir: start all workers again with the same command (the launcher "
                "does so by itself); they go on from the last checkpoint.",
                exit_code=EXIT_FAILED,
            )
        _put_back(run.state, before)
        run.totals.restore(sums)
        return False

    def _note(self, error: Exception, step: int, count: int, more: int) -> None:
        run = self._run
        share = run.config.train.batch_size // run.devices.replicas
        kept = {s: number for s, number in run.found_micro_batches.items() if s < step}
        run.found_micro_batches = kept | {step: more}
        what = tensor_of(error)
        first = self._said.partition(" did not fit")[0] or (
            f"Step {step + 1} in {count} micro-batch{'es' if count > 1 else ''} of {share // count} images"
        )
        batch_norm = run.config.model.normalization == "batch" and ":" not in run.named_config.model.name
        self._said = (
            f"{first} did not fit in memory{what}: from here on steps are computed in {more} micro-batches of "
            f"{share // more}"
            + (f" on each of {run.devices.replicas} replicas" if run.devices.replicas > 1 else "")
            + " (train.accumulate=auto)"
            + (", of which each has its own batch statistics" if batch_norm else "")
            + (", also when the run is started again." if self._keep else ".")
        )
        if self._keep and (run.devices.chief or run.devices.workers > 1):
            write_config(run)


def next_number(share: int, count: int) -> int | None:
    """The next number of equal micro-batches for a replica's share of the batch, about twice `count`; None at one
    image each.

    >>> next_number(8, 1), next_number(6, 2), next_number(8, 8)
    (2, 6, None)
    """
    if count >= share:
        return None
    return next(n for n in range(min(2 * count, share), share + 1) if share % n == 0)


def _all_of(state) -> Mapping[str, np.ndarray]:
    """Every variable, including those that are in no checkpoint."""
    return {**snapshot(state), **{name: np.array(v.numpy()) for name, v in _unsaved(state).items()}}


def _put_back(state, arrays: Mapping[str, np.ndarray]) -> None:
    put_back(state, arrays)
    for name, variable in _unsaved(state).items():
        variable.assign(arrays[name])


def _unsaved(state) -> Mapping[str, tf.Variable]:
    return {"recent skips": state.recent_skipped, "offenders": state.offenders, "halted": state.halted}
