"""Ends training once the score has not got better for `config.evaluate.patience` evaluations."""

from __future__ import annotations


def stop_early(run, step: int) -> str | None:
    """Why early stopping ends the run, or None."""
    host, patience = run.host, run.config.evaluate.patience
    if not patience or host.evaluations_since_best < patience:
        return None
    best = f": best {host.best_score:.4f} at step {host.best_step}" if host.best_score is not None else ""
    verb = "risen" if run.highest_is_best else "fallen"
    return f"{run.metric} has not {verb} for {host.evaluations_since_best} evaluations{best}"
