"""Renders templates to pages: numbers that a program can read back, text that cannot become markup."""

from __future__ import annotations

import functools
import math
import os
import re
from typing import Any

from markupsafe import Markup, escape

from configs.reading import values
from trainer.reporting.terminal import duration, number

# A page above this is too large to send by mail.
MOST_BYTES = 3_000_000


def exact(value: Any, digits: int | None = None) -> Markup:
    """A number as people read it, in an element with all its digits: `<data value="0.8123456">0.8123</data>`."""
    if value is None or isinstance(value, float) and not math.isfinite(value):
        return Markup('<span class="none" title="no value">–</span>')
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return escape(value)
    if isinstance(value, int):
        shown = f"{value:,}"
    elif digits is not None:
        shown = f"{value:.{digits}f}"
    else:
        shown = number(value)
    return Markup(f'<data value="{value!r}">{shown}</data>')


def percent(value: Any) -> Markup:
    """A share in per cent, with all its digits in the element."""
    if value is None:
        return exact(None)
    return Markup(f'<data value="{value!r}">{100 * value:.1f} %</data>')


def setting(value: Any) -> str:
    """A config's value, as on the command line."""
    return values.shown(tuple(value) if isinstance(value, list) else value)


@functools.cache
def _environment():
    # Imported here: a run without a page does not need it.
    import jinja2

    folder = os.path.join(os.path.dirname(__file__), "templates")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "exact": exact,
        "percent": percent,
        "setting": setting,
        "duration": duration,
        # Made by `figures`, from text that matplotlib has escaped.
        "drawing": Markup,
        "prose": _prose,
    }
    return environment


def _prose(text: str) -> Markup:
    """The guard's Markdown: its code blocks and its text, none of it as markup."""
    parts = re.split(r"```\w*\n(.*?)```", text, flags=re.DOTALL)
    shown = [
        Markup("<pre>{}</pre>").format(part.rstrip("\n")) if number % 2 else _paragraphs(part)
        for number, part in enumerate(parts)
    ]
    return Markup("").join(shown)


def _paragraphs(text: str) -> Markup:
    found = [part.strip("\n") for part in re.split(r"\n\s*\n", text) if part.strip()]
    return Markup("").join(Markup('<p class="said">{}</p>').format(re.sub(r"\*\*|`", "", part)) for part in found)


def render(template: str, **content: Any) -> str:
    """A page in one file, which loads nothing."""
    return _environment().get_template(template).render(**content)
