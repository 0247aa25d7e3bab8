"""Reads the device's totals, the only question in so many steps, and reports them."""

from __future__ import annotations

import math

from trainer.reporting import tags, terminal
from trainer.reporting.clock import INPUT
from trainer.reporting.usage import memory_in_use


def report(run, step: int) -> None:
    """One line, one record, one point of each curve."""
    state = run.state
    if run.host.reported == step:
        return
    steps, run.host.reported = step - run.host.reported, step
    means = run.totals.read()
    rate = run.clock.rate(step)
    run.clock.add(INPUT, steps * means.get(tags.INPUT_WAIT, 0.0))
    values = dict(means)
    epochs = run.intervals.epochs
    if epochs is not None:
        values[tags.EPOCH] = epochs * step / run.intervals.total
    for update in state.updates:
        name = f"{tags.LEARNING_RATE}/{update.name}" if update.name else tags.LEARNING_RATE
        values[name] = float(update.optimizer.learning_rate.numpy())
    if rate:
        values[tags.IMAGES_PER_SECOND] = rate
    values[tags.SKIPPED] = int(state.skipped.numpy())
    if state.loss_scale.enabled:
        values[tags.LOSS_SCALE] = float(state.loss_scale.scale.numpy())
    values |= memory_in_use()
    run.host.last_report = values
    total = run.intervals.total
    more = {tags.SKIPPED: values[tags.SKIPPED]} if values[tags.SKIPPED] else {}
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
    run.journal.numbers(step, tags.TRAIN, values)
