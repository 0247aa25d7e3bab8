"""docs/troubleshooting.md: each program ends in the message that is its heading, and each remedy runs."""

from __future__ import annotations

import logging
import pathlib
import re
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

PAGE = (pathlib.Path(__file__).parent.parent / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
BEGINNING, *ENTRIES = re.split(r"^### ", PAGE, flags=re.MULTILINE)


def blocks(text: str, title: str) -> list[str]:
    return re.findall(rf'^```python title="{title}"\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)


def messages(program: str, folder: pathlib.Path) -> str:
    """What the program, run from a file of its own (AutoGraph reads it), says on its way and at its end."""
    path = folder / "program.py"
    path.write_text(f"{blocks(BEGINNING, 'before each of them')[0]}\n\n{program}", encoding="utf-8")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), {"__name__": "program"})
        except Exception as error:
            return str(error)
        finally:
            tf.debugging.disable_check_numerics()
    return "\n".join(str(warning.message) for warning in caught if not issubclass(warning.category, DeprecationWarning))


def heading(entry: str) -> re.Pattern[str]:
    """`…` stands for anything, and what is added in brackets at the end tells two entries apart."""
    text = re.sub(r" \((?:in|at) [^()]*\)$", "", entry.splitlines()[0])
    return re.compile(".*".join(re.escape(part.strip()) for part in text.split("…")), re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    tf.io.write_file("a.png", tf.io.encode_png(np.zeros((8, 8, 3), "uint8")))
    for name in ("tensorflow", "absl"):
        monkeypatch.setattr(logging.getLogger(name), "disabled", True)
    return tmp_path


def test_there_are_thirty_of_them():
    assert len(ENTRIES) >= 30


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.splitlines()[0][:40])
def test_entry(entry, folder):
    (fails,), (works,) = blocks(entry, "fails"), blocks(entry, "works")
    assert heading(entry).search(messages(fails, folder))
    warned = messages(works, folder)
    assert warned == "" or "shuffle=True" in warned, warned
