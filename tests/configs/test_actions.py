"""Actions of the config: when they are due, and what is called."""

import pytest

from configs.reading import actions
from configs.reading.durations import parse as duration


@pytest.mark.parametrize(
    ("text", "due", "name"),
    [
        ("100 steps: my_actions:log", duration("100 steps"), "my_actions:log"),
        ("2 epochs:a.b.c:f", duration("2 epochs"), "a.b.c:f"),
        (" 10% : a:f ", duration("10%"), "a:f"),
        ("evaluation: a:f", "evaluation", "a:f"),
        ("end: a:f", "end", "a:f"),
    ],
)
def test_an_action_is_read(text, due, name):
    assert actions.parse(text) == (due, name)


def test_a_whole_number_is_of_steps():
    assert actions.when(100) == actions.when("100 steps") == duration("100 steps")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "package.module:function"),
        ("a:f", "does not say when"),
        ("100 steps", "is not an action"),
        ("100 steps:", "is not an action"),
        ("100 stops: a:f", '"100 steps"'),
        ("ends: a:f", 'Did you mean "end"?'),
        ("0 steps: a:f", "is never"),
        ("200%: a:f", "more than the whole run"),
    ],
)
def test_what_is_no_action_is_refused(text, named):
    with pytest.raises(ValueError) as error:
        actions.parse(text)
    assert named in str(error.value)


@pytest.mark.parametrize("due", [True, None, 1.5, -1, 0])
def test_what_is_no_distance_is_refused(due):
    with pytest.raises(ValueError):
        actions.when(due)
