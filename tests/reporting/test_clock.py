"""Seconds of training, without pauses, and images a second."""

from trainer.reporting.clock import SAVING, STARTING, STEPS, Clock


def test_pauses_are_neither_training_nor_in_the_rate_and_the_first_call_is_not_in_the_rate():
    at = [100.0]
    clock = Clock(8, now=lambda: at[0], trained=50.0, parts={SAVING: 1.0, STEPS: 40.0})
    at[0] += 5  # the first call compiles
    assert clock.start_once(2) and not clock.start_once(4) and clock.rate(2) is None
    at[0] += 4
    with clock.pause(SAVING):
        at[0] += 30
    assert clock.rate(12) == 10 * 8 / 4 and clock.last_interval == 4
    assert clock.trained == 50 + 5 + 4
    assert clock.parts == {STEPS: 59 - 5, SAVING: 31.0, STARTING: 5.0}
    assert clock.seconds_left(10, 20.0) == 4.0 and clock.seconds_left(10, None) is None
