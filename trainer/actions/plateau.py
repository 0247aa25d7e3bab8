"""Lowers the learning rate when the score stays where it is: an example of an action with a memory.

Run(…, actions=[("evaluation", ReduceOnPlateau(factor=0.5, patience=2))])
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class ReduceOnPlateau:
    """Multiplies the rate by `factor` after `patience` evaluations without a better score.

    Attributes:
      factor: in (0, 1).
      patience: evaluations; counted anew after each reduction.
      lowest: the product of all factors is not taken below this.
    """

    factor: float = 0.5
    patience: int = 2
    lowest: float = 1e-3

    def __call__(self, run, step: int) -> None:
        memory = run.memory.setdefault("plateau", {"reduced_at": 0})
        waited = run.host.evaluations_since_best - memory["reduced_at"]
        if run.host.evaluations_since_best == 0:
            memory["reduced_at"] = 0
        elif waited >= self.patience and run.rate_factor * self.factor >= self.lowest:
            run.rate_factor *= self.factor
            memory["reduced_at"] = run.host.evaluations_since_best
            share = f"{run.rate_factor:g} of what it would be"
            run.log(f"step {step}: {run.metric} does not get better; the learning rate is now {share}")
