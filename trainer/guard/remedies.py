"""What to say about a cause, and what to write instead."""

from __future__ import annotations


def explain_cause(finding) -> str:
    """The cause in a sentence."""
    return finding.cause


def advise(finding) -> str:
    """What to write instead, in words and code."""
    return ""
