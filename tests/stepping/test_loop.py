"""The outer loop: how far it goes in one call, which actions run when, and how it ends."""

import pytest
import tensorflow as tf

from trainer.stepping.loop import Action, run_loop


class Device:
    """A step counter that is moved as the compiled steps move it; `stops_at` is where a bad gradient ends a call."""

    def __init__(self, step=0, stops_at=None):
        self.step, self.stops_at, self.calls = step, stops_at, []

    def train_steps(self, iterator, count):
        assert count.dtype == tf.int64
        self.calls.append(int(count))
        self.step += int(count)
        if self.stops_at is not None:
            self.step = min(self.step, self.stops_at)


def run(device, total, actions=(), after_call=lambda step: None, **options):
    return run_loop(
        device.train_steps,
        None,
        read_step=lambda: device.step,
        total=total,
        actions=actions,
        after_call=after_call,
        **options,
    )


def test_calls_end_where_an_action_is_due_and_never_beyond_the_end():
    device, seen = Device(), []
    actions = [Action(4, lambda step: seen.append(("a", step))), Action(6, lambda step: seen.append(("b", step)))]
    assert run(device, 13, actions, steps_per_call=5) == (13, None)
    assert device.calls == [4, 2, 2, 4, 1]
    assert seen == [("a", 4), ("b", 6), ("a", 8), ("a", 12), ("b", 12), ("a", 13), ("b", 13)]


def test_a_distance_of_zero_is_the_end_alone_and_a_margin_leaves_the_last_ones_to_it():
    device, seen = Device(), []
    run(device, 10, [Action(0, lambda step: seen.append(step)), Action(3, seen.append, margin=2)], steps_per_call=100)
    assert seen == [3, 6, 10, 10]
    assert device.calls == [3, 3, 4]


def test_a_run_goes_on_from_its_step_on_the_same_grid():
    device, seen = Device(step=5), []
    assert run(device, 10, [Action(4, seen.append)], steps_per_call=3) == (10, None)
    assert seen == [8, 10] and device.calls == [3, 2]


def test_a_finished_run_does_nothing():
    device = Device(step=10)
    assert run(device, 10) == (10, None) and device.calls == []


def test_a_reason_of_an_action_ends_the_run_and_what_it_left_is_done_first_when_it_goes_on():
    seen = []
    stop = Action(2, lambda step: "asked to stop" if step == 4 and not seen[1:] else None)
    assert run(Device(), 100, [stop, Action(2, seen.append)], steps_per_call=10) == (4, "asked to stop")
    assert seen == [2]
    assert run(Device(step=4), 6, [Action(2, seen.append)], steps_per_call=10) == (6, None)
    assert seen == [2, 4, 6]


def test_a_reason_between_actions_ends_it_at_once():
    assert run(Device(), 100, after_call=lambda step: "stop" if step >= 3 else None, steps_per_call=1) == (3, "stop")


def test_a_call_that_stops_early_runs_no_action_that_is_not_due():
    device, seen = Device(stops_at=3), []
    ended = run(device, 10, [Action(5, seen.append)], after_call=lambda s: "halted" if s == 3 else None)
    assert ended == (3, "halted") and seen == []


def test_a_call_that_makes_no_step_is_an_error_and_not_an_endless_loop():
    with pytest.raises(RuntimeError, match="A call for 5 steps at step 0 made none"):
        run(Device(stops_at=0), 10, steps_per_call=5)


def test_calls_grow_after_the_first_which_compiles(monkeypatch):
    device = Device()
    # Each look at the clock is a second later: a call takes one, so that the steps of the next one may double.
    ticks = iter(range(10_000))
    monkeypatch.setattr("trainer.stepping.loop.time.monotonic", lambda: next(ticks))
    run(device, 40)
    assert device.calls[:5] == [1, 1, 2, 4, 8]
