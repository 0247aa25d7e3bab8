"""Which trial goes on: played through with scores that are known beforehand."""

import math

import numpy as np
import pytest

from trainer.sweep.halving import DONE, NEW, WAIT, Trial, best, decide, rungs

STEPS = rungs(90, 2, 3)


def play(scores, *, count, reduction=3, highest=True, failing=(), workers=1):
    """Trials as they end up, for scores `[trial, rung]`; `workers` take tasks in turn and finish them in order."""
    trials, order, running = [], [], []
    while True:
        busy = {trial.number for trial, _ in running}
        task, rung = decide(trials, busy, count=count, reduction=reduction, highest=highest)
        if task == NEW:
            task = Trial(len(trials), {}, STEPS)
            trials.append(task)
        if isinstance(task, Trial):
            running.append((task, rung))
            held = trials[task.number]
            trials[task.number] = Trial(held.number, {}, STEPS, rung=rung, scores=held.scores)
            order.append((task.number, rung))
            if len(running) < workers:
                continue
        elif not running:
            return trials, order
        done, rung = running.pop(0)
        failure = "no" if (done.number, rung) in failing else ""
        known = dict(trials[done.number].scores) | ({} if failure else {rung: scores[done.number][rung]})
        trials[done.number] = Trial(done.number, {}, STEPS, rung=rung, scores=known, failure=failure)


def test_rungs_are_shares_of_the_length():
    assert rungs(90, 2, 3) == (10, 30, 90) and rungs(600, 2, 3) == (67, 201, 600) and rungs(7, 0, 3) == (7,)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("highest", [True, False])
def test_the_best_third_of_a_rung_goes_on(highest, workers):
    scores = np.random.default_rng(0).permutation(18)[:, None] + np.zeros(3)
    trials, _ = play(scores, count=18, highest=highest, workers=workers)
    counts = [sum(rung in t.scores for t in trials) for rung in range(3)]
    # As they come: some go on that later ones have beaten.
    assert counts[0] == 18 and 6 <= counts[1] <= 9 and 2 <= counts[2] <= 3
    wanted = scores[:, 0].argmax() if highest else scores[:, 0].argmin()
    assert best(trials, highest).number == wanted and trials[wanted].ended


def test_one_that_goes_on_comes_before_a_new_one():
    _, order = play([[1, 1, 1], [2, 2, 2], [3, 3, 3], [0, 0, 0]], count=4)
    assert order[:5] == [(0, 0), (1, 0), (2, 0), (2, 1), (3, 0)]


def test_the_best_of_few_is_trained_to_its_end():
    trials, order = play([[1, 1, 1], [2, 2, 2]], count=2)
    assert order == [(0, 0), (1, 0), (1, 1), (1, 2)] and best(trials, True).number == 1


def test_when_it_fails_the_next_best_is():
    trials, _ = play([[1, 1, 1], [2, 2, 2]], count=2, failing={(1, 1)})
    assert best(trials, True).number == 0 and trials[0].ended


def test_a_score_that_is_no_number_never_goes_on():
    trials, _ = play([[math.nan] * 3, [1, 1, 1], [math.nan] * 3], count=3)
    assert [t.ended for t in trials] == [False, True, False]
    trials, _ = play([[math.nan] * 3] * 3, count=3)
    assert not any(t.ended for t in trials) and best(trials, True) is None


def test_what_nobody_holds_is_taken_up_first_and_what_others_hold_is_waited_for():
    on_its_way = Trial(0, {}, STEPS)
    assert decide([on_its_way], (), count=5, reduction=3, highest=True) == (on_its_way, 0)
    assert decide([on_its_way], {0}, count=5, reduction=3, highest=True) == (NEW, 0)
    assert decide([on_its_way], {0}, count=1, reduction=3, highest=True) == (WAIT, 0)
    assert decide([], (), count=0, reduction=3, highest=True) == (DONE, 0)


def test_more_trials_later_let_paused_ones_go_on():
    scores = np.arange(9)[::-1, None] + np.zeros(3)
    trials, _ = play(scores, count=3)
    assert [t.ended for t in trials] == [True, False, False]
    assert decide(trials, (), count=9, reduction=3, highest=True) == (NEW, 0)
