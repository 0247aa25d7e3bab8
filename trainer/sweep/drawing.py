"""The settings of the next trial, drawn by Optuna, and which of them mattered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from configs.sweep import Between, Sweep
from trainer.sweep.halving import Trial
from trainer.sweep.study import distributions, keys, quiet, values_of

# Fewer scores say nothing about what mattered.
_FEW = 8


def draw(sweep: Sweep, trials: Sequence[Trial], highest: bool) -> dict[str, Any]:
    """Settings of the trial after these: a function of the sweep's seed, of their number and of their scores.

    TPE (Bergstra et al., 2011, "Algorithms for Hyper-Parameter Optimization") sees a trial that is paused as Optuna's
    pruned ones, of which the further and then the better count as better; one without a score yet keeps it from drawing
    the same again; one that failed is the worst.
    """
    from optuna.samplers import RandomSampler, TPESampler

    seed = int(np.random.SeedSequence([sweep.seed, len(trials)]).generate_state(1)[0])
    sampler = RandomSampler(seed) if sweep.sampler == "random" else TPESampler(seed=seed)
    space = distributions(sweep.ranges)
    with quiet():
        study = _study([_seen(trial, space) for trial in trials], highest, sampler)
        drawn = study.ask(space).params
    return {path: _rounded(value, sweep.ranges[path]) for path, value in values_of(drawn, sweep.ranges).items()}


def importance(sweep: Sweep, trials: Sequence[Trial], highest: bool) -> dict[str, float]:
    """How much each field mattered for the score at the first rung, as shares, the first the most; of few trials none.

    PED-ANOVA (Watanabe et al., 2023, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
    Subspaces"): how much the best 1 / reduction of the trials differ from all in each field.
    """
    import optuna

    scored = [t for t in trials if not math.isnan(t.scores.get(0, math.nan))]
    if len(scored) < max(_FEW, 2 * sweep.reduction) or len({t.scores[0] for t in scored}) == 1:
        return {}
    space = distributions(sweep.ranges)
    made = [optuna.trial.create_trial(params=keys(t.settings), distributions=space, value=t.scores[0]) for t in scored]
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=1 / sweep.reduction)
    with quiet():
        return optuna.importance.get_param_importances(_study(made, highest), evaluator=evaluator)


def _study(trials: Sequence, highest: bool, sampler=None):
    import optuna

    study = optuna.create_study(direction="maximize" if highest else "minimize", sampler=sampler)
    study.add_trials(trials)
    return study


def _seen(trial: Trial, space: Mapping[str, Any]):
    """A trial as the sampler is to see it."""
    from optuna.trial import TrialState, create_trial

    scores = {rung: score for rung, score in trial.scores.items() if not math.isnan(score)}
    about = {"params": keys(trial.settings), "distributions": space}
    if trial.failure:
        return create_trial(state=TrialState.PRUNED, **about)
    if trial.last in scores:
        return create_trial(state=TrialState.COMPLETE, value=scores[trial.last], **about)
    state = TrialState.PRUNED if trial.scores else TrialState.RUNNING
    return create_trial(state=state, intermediate_values=scores, **about)


def _rounded(value: Any, range_: Any) -> Any:
    """Numbers to four digits, which nobody would tell from more, and which are typed more easily."""
    if isinstance(range_, Between) and isinstance(value, float):
        return min(max(float(f"{value:.4g}"), range_.low), range_.high)
    return value
