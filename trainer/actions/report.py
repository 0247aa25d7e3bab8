"""Reads the device's totals, the only question in so many steps, and reports them."""

from __future__ import annotations

import math

from configs.reading.line_wrapping import wrapped
from trainer.reporting import tags, terminal
from trainer.reporting.clock import INPUT
from trainer.reporting.memory.usage import memory_in_use
from trainer.reporting.slow_data import MUCH, hint


def report(run, step: int) -> None:
    """One line, one record, one point of each curve."""
    state = run.state
    if run.host.reported == step:
        return
    run.host.reported = step
    means = run.totals.read()
    rate = run.clock.rate(step)
    values = dict(means)
    epochs = run.intervals.epochs
    if epochs is not None:
        values[tags.EPOCH] = epochs * step / run.intervals.total
    for update in state.updates:
        name = f"{tags.LEARNING_RATE}/{update.name}" if update.name else tags.LEARNING_RATE
        values[name] = float(update.optimizer.learning_rate.numpy())
    if rate:
        values[tags.IMAGES_PER_SECOND] = rate
        waited = run.waiting.since_last()
        run.clock.add(INPUT, min(waited, run.clock.last_interval))
        values[tags.WAITING] = min(1.0, waited / run.clock.last_interval)
    values[tags.SKIPPED] = int(state.skipped.numpy())
    if state.loss_scale.enabled:
        values[tags.LOSS_SCALE] = float(state.loss_scale.scale.numpy())
    values |= memory_in_use()
    run.host.last_report = values
    total = run.intervals.total
    waits = values.get(tags.WAITING, 0.0) > MUCH
    more = {tags.SKIPPED: values[tags.SKIPPED]} if values[tags.SKIPPED] else {}
    more |= {"waiting for data": values[tags.WAITING]} if waits else {}
    line = terminal.progress(
        step,
        total,
        loss=means.get(tags.LOSS, math.nan),
        dice=means.get(tags.DICE),
        rate=rate,
        seconds_left=run.clock.seconds_left(total - step, rate),
        more=more,
    )
    run.journal.line(line)
    if waits and not run.hinted:
        run.hinted = True
        run.journal.line(wrapped(hint(run, values[tags.WAITING])))
    run.journal.numbers(step, tags.TRAIN, values)
