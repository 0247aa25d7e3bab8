"""Actions and when each is due, as text: "100 steps: my_actions:log", "evaluation: …", "end: …"."""

from __future__ import annotations

from configs.reading import durations
from configs.reading.durations import Duration
from configs.reading.nearest import did_you_mean

# After each evaluation; once, when the run ends.
EVENTS = ("evaluation", "end")

_FORM = 'write "100 steps: package.module:function", or "evaluation: …", or "end: …"'


def parse(text: str) -> tuple[Duration | str, str]:
    """Reads an action of the config: when it is due, and the name of the function to call.

    Returns:
        As `when`, and "package.module:function".

    Raises:
        ValueError: The text is not an action; the message says what to write.
    """
    due, colon, name = (part.strip() for part in text.partition(":"))
    if not colon or not name:
        raise ValueError(f"{text!r} is not an action: {_FORM}")
    if ":" not in name:
        raise ValueError(f"{text!r} does not say when, or no function: {_FORM}")
    return when(due), name


def when(due: str | int) -> Duration | str:
    """When an action is due: a distance ("100 steps", "2 epochs", "10%", or 100 for steps) or one of `EVENTS`.

    Raises:
        ValueError: It is neither, or never.
    """
    if isinstance(due, str) and due in EVENTS:
        return due
    try:
        distance = durations.parse(f"{due} steps" if isinstance(due, int) and not isinstance(due, bool) else due)
    except ValueError as error:
        hint = did_you_mean(due, EVENTS, '"{}"') if isinstance(due, str) else ""
        raise ValueError(f'{error}, or "evaluation", or "end".{hint}'.removesuffix(".")) from None
    if not distance.amount:
        raise ValueError(f"{due!r} is never: leave the action out")
    return distance
