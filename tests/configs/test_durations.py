"""Durations: exact, rounded up, and refused in words that say what to write."""

from fractions import Fraction

import pytest

from configs.reading import durations

_PER_EPOCH = Fraction(150, 8)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("500 steps", 500),
        ("1 step", 1),
        ("1_000 steps", 1000),
        (" 20steps ", 20),
        ("0 steps", 0),
        ("0 epochs", 0),
        ("1 epoch", 19),
        ("4 epochs", 75),
        ("1.5 epochs", 29),
        ("0.1 epochs", 2),
        ("5%", 51),
        ("5 percent", 51),
        ("0.1%", 2),
        ("100%", 1001),
    ],
)
def test_a_duration_in_steps(text, steps):
    assert durations.to_steps(text, steps_per_epoch=_PER_EPOCH, total=1001) == steps


@pytest.mark.parametrize("share", [5, 10, 20, 25, 50])
@pytest.mark.parametrize("total", [7, 99, 1000, 1001])
def test_events_at_a_percentage_are_never_more_than_it_says(share, total):
    every = durations.to_steps(f"{share}%", steps_per_epoch=1, total=total)

    assert len(range(every, total + 1, every)) <= 100 // share


def test_decimals_are_exact():
    # 0.7 is a little less than 7/10 in binary, and 30 * 0.7 a little more than 21: a float would make 22 of it.
    assert durations.to_steps("0.7 epochs", steps_per_epoch=30) == 21
    assert durations.to_steps("7%", steps_per_epoch=1, total=100) == 7


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "is not a duration"),
        ("500", "has no unit"),
        ("five steps", "is not a duration"),
        ("-3 steps", "is not a duration"),
        ("1e3 steps", "is not a duration"),
        ("3 epoks", 'did you mean "3 epochs"'),
        ("3 weeks", "unknown unit 'weeks'"),
        ("2.5 steps", 'write "3 steps"'),
        ("101%", "more than the whole run"),
        ("1000000000001 steps", 'write at most "1000000000000 steps"'),
        ("9999999999 epochs", 'write at most "1000000000 epochs"'),
        (5, "is not a duration"),
        (None, "is not a duration"),
    ],
)
def test_another_text_is_refused(text, named):
    with pytest.raises(ValueError, match="write") as error:
        durations.parse(text)
    assert named in str(error.value)
    assert repr(text) in str(error.value)


def test_a_share_of_an_unknown_length_is_refused():
    with pytest.raises(ValueError, match="cannot be a share of itself"):
        durations.to_steps("50%", steps_per_epoch=10)


def test_a_rounded_epoch_is_refused():
    with pytest.raises(TypeError, match=r"Fraction\(examples, batch_size\)"):
        durations.to_steps("1 epoch", steps_per_epoch=18.75)
