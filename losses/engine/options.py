"""Checks of a loss's own options: choices and ranges, with the loss's name before the message."""


def choose(problem, **choices):
    """`choose(problem, weighting=(weighting, ("default", "gdl")))` raises ValueError for any value not allowed."""
    wrong = [
        f"{name} must be one of {tuple(allowed)}, not {value!r}"
        for name, (value, allowed) in choices.items()
        if value not in allowed
    ]
    if wrong:
        received = ", ".join(f"{name}={value!r}" for name, (value, _) in choices.items())
        raise ValueError(f"{problem.loss}: {'; '.join(wrong)}.\nReceived: {received}")


def in_range(problem, **values):
    """`in_range(problem, alpha=(alpha, 0, 1))` raises ValueError unless 0 <= alpha <= 1; None is no bound."""
    wrong = []
    for name, (value, low, high) in values.items():
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            bounds = (
                f"{low} to {high}"
                if None not in (low, high)
                else f"at least {low}"
                if high is None
                else f"at most {high}"
            )
            wrong.append(f"{name} must be {bounds}")
    if wrong:
        received = ", ".join(f"{name}={value!r}" for name, (value, _, _) in values.items())
        raise ValueError(f"{problem.loss}: {'; '.join(wrong)}.\nReceived: {received}")
