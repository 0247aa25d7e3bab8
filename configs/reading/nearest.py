"""The name that was probably meant, which every message about an unknown name suggests."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The most similar of `names`, or None when nothing is similar.

    Compared without case, dashes and underscores. For dotted names the last part counts by itself too, so that
    "learning_rate" finds "optimizer.learning_rate"; and so do initials: "lr" finds "learning_rate".
    """
    best = max(names, key=lambda candidate: _similarity(name, candidate), default=None)
    if best is None or _similarity(name, best) < 0.6:
        return None
    return best


def did_you_mean(name: str, names: Iterable[str], form: str = "{}") -> str:
    """` Did you mean …?` with the nearest name in `form`; empty when no name is near."""
    near = nearest(name, names)
    return f" Did you mean {form.format(near)}?" if near is not None else ""


def _similarity(name: str, candidate: str) -> float:
    if _plain(name) == _plain(candidate):
        return 1.0
    whole = _ratio(name, candidate)
    head, _, tail = name.rpartition(".")
    candidate_head, _, candidate_tail = candidate.rpartition(".")
    if not candidate_head:
        return max(whole, 0.8 * _abbreviates(name, candidate))
    # A right last part in the wrong section is closer than a wrong last part in the right one.
    last = max(_ratio(tail, candidate_tail), 0.8 * _abbreviates(tail, candidate_tail))
    section = _ratio(head, candidate_head) if head else 0.5
    dotted = 0.75 * last + 0.2 * section if last > 0.6 else 0.0
    return dotted if head else max(0.9 * whole, dotted)


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _ratio(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, _plain(a), _plain(b)).ratio()


def _abbreviates(short: str, name: str) -> bool:
    """ "lr" and "bs" are the initials of learning_rate and batch_size; "optim" begins optimizer."""
    words = name.lower().split("_")
    initials = "".join(word[:1] for word in words)
    short = short.lower()
    return (len(words) > 1 and short == initials) or (len(short) >= 3 and _plain(name).startswith(_plain(short)))
