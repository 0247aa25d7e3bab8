"""What may keep a program from learning, judged by its configuration and a batch; steps on a copy decide."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .batch import Look
from .change import Suspicion
from .data import scale_of_inputs, scale_of_targets
from .layer_suspects import (
    batch_statistics,
    dropouts,
    frozen_layers,
    initial_weights,
    linear_layers,
    narrow_layers,
    noises,
    penalties,
    saturating_layers,
)
from .pair import Pair
from .program import Program
from .training_suspects import clipping_and_momentum, few_updates, held_back, learning_rate, more_epochs, order_of_rows


def strong_suspects(program: Program, pair: Pair | None, seen: Look) -> Iterator[Suspicion]:
    """Suspicions with evidence of their own."""
    yield from penalties(program, seen)
    yield from dropouts(program)
    yield from noises(program)
    yield from frozen_layers(program)
    yield from scale_of_inputs(program)
    if pair is not None:
        yield from scale_of_targets(pair)
    yield from initial_weights(seen)
    yield from linear_layers(program)
    yield from saturating_layers(seen)
    yield from batch_statistics(program)
    yield from clipping_and_momentum(program)
    yield from held_back(program)
    yield from order_of_rows(program, pair)
    yield from narrow_layers(program, pair, seen, strong=True)
    yield from learning_rate(program, strong=True)
    yield from few_updates(program)


def weak_suspects(program: Program, pair: Pair | None, seen: Look, losses: np.ndarray) -> Iterator[Suspicion]:
    """Suspicions whose only evidence is that the program does not learn."""
    yield from narrow_layers(program, pair, seen, strong=False)
    yield from learning_rate(program, strong=False, losses=losses)
    yield from more_epochs(program)
