"""Lines are broken between words, at the terminal's width."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.reading import help as document
from configs.reading import line_wrapping
from configs.reading.flags import define_flags
from trainer import console


@pytest.mark.parametrize(("columns", "expected"), [("64", 64), ("300", 110), ("10", 40), ("", 80), ("x", 80)])
def test_the_terminals_width_within_bounds(monkeypatch, columns, expected):
    monkeypatch.setenv("COLUMNS", columns)  # what shutil asks first; the tests have no terminal

    assert line_wrapping.columns() == expected


def test_prose_is_broken_under_its_own_beginning_and_code_stays():
    text = (
        "2 mistakes:\n  1. the first of them is long\n         code = that(is, far, longer, than, this)\n"
        "  - a note that is long, too\nlast words of it all, and more\n    x = a_line(of, code, that, is, copied)"
    )

    assert line_wrapping.wrapped(text, 24) == (
        "2 mistakes:\n  1. the first of them\n     is long\n         code = that(is, far, longer, than, this)\n"
        "  - a note that is long,\n    too\nlast words of it all,\nand more\n"
        "    x = a_line(of, code, that, is, copied)"
    )


def test_a_line_in_columns_is_broken_between_them():
    line = "step  20/1000  loss   0.4312  Dice 0.9000  12.5 images/s"

    assert line_wrapping.wrapped(line, 42).splitlines() == [
        "step  20/1000  loss   0.4312  Dice 0.9000",
        "    12.5 images/s",
    ]
    line = "  saved_model  runs/a/export/saved_model  7 KiB, equal to the model within 1e-07; mean Dice 0.5"
    assert max(map(len, line_wrapping.wrapped(line, 40).splitlines())) <= 40


def test_a_terminal_gets_lines_of_its_width_and_a_file_whole_ones(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    text = "  note  a line that is longer than forty columns of a terminal"
    for terminal in (True, False):
        stream = io.StringIO()
        stream.isatty = lambda terminal=terminal: terminal
        monkeypatch.setattr("sys.stdout", stream)
        console.log(text)
        written = stream.getvalue().splitlines()
        assert (max(map(len, written)) <= 40) == terminal and (written == [text]) != terminal


@given(st.text(alphabet="ab-. \n", max_size=200), st.integers(8, 40))
def test_no_word_is_broken_or_lost_or_moved(text, width):
    assert line_wrapping.wrapped(text, width).split() == text.split()


@pytest.mark.parametrize("width", [80, 100])
def test_help_keeps_to_the_width(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))

    long = [line for line in document.help_text(define_flags(), full=True).splitlines() if len(line) > width]

    # Only what cannot be broken: the names of flags with their choices.
    assert all(len(line.split()) == 1 for line in long)
