"""The doctor's findings on programs that do not learn, and none on mended and sound ones.

Here each is looked at as far as a batch; steps on copies, which cost seconds, are tried on a few. All programs in full:
`python -m benchmarks.doctor`.
"""

import random

import keras
import numpy as np
import pytest

from benchmarks.doctor import built, hits
from tests.guard.doctor.programs import all_programs
from trainer.guard import diagnose

PROGRAMS = all_programs()
CHEAP = [program for program in PROGRAMS if not program.healthy and program.depth != "steps"]
STEPS = (
    "a_single_epoch",
    "adam_at_a_millionth",
    "an_l1_of_a_tenth_on_every_layer",
    "labels_shuffled_alone",
    "one_column_written_into_all",
    "a_data_set_from_one_folder_after_another",
    "divided_by_255_outside_and_inside",
    "signs_between_two_layers",
    "classes_numbered_by_another_encoder",
    "huge_weights_in_a_class_of_ones_own",
)
SOUND = ("sgd_at_a_tenth", "three_equal_channels_of_a_grey_image")


def named(name):
    return next(program for program in PROGRAMS if program.name == name)


@pytest.mark.parametrize("program", CHEAP, ids=lambda program: program.name)
def test_a_fault_that_a_batch_shows_is_named_and_its_twin_is_not_accused(program):
    diagnosis = diagnose(**built(program, False), depth="batch")
    assert hits(program, diagnosis)[:3] == (True, True, True), f"\n{diagnosis}"
    if CHEAP.index(program) % 2 == 0:  # the benchmark looks at the twins of all
        twin = diagnose(**built(program, True), depth="batch")
        assert twin.ok, f"\n{twin}"


@pytest.mark.parametrize("name", STEPS)
def test_a_fault_that_steps_show_is_named(name):
    diagnosis = diagnose(**built(named(name), False), seconds=60)  # a machine that others use, too
    assert hits(named(name), diagnosis)[:3] == (True, True, True), f"\n{diagnosis}"


@pytest.mark.parametrize("program", [p for p in PROGRAMS if p.healthy][::2], ids=lambda program: program.name)
def test_a_sound_program_is_met_with_silence(program):
    depth = "steps" if program.name in SOUND else "batch"
    diagnosis = diagnose(**built(program, True), depth=depth)
    assert diagnosis.ok, f"\n{diagnosis}"


def test_there_are_enough_programs():
    faults = [program for program in PROGRAMS if not program.healthy]
    assert len(faults) >= 60
    assert sum(program.group == "segmentation" for program in faults) >= 20
    assert len(PROGRAMS) - len(faults) >= 30


def test_weights_optimizer_and_random_numbers_stay_as_they_were():
    program = built(named("adam_at_a_millionth"), False)
    model, optimizer = program["model"], program["optimizer"]
    optimizer.build(model.trainable_variables)
    before = [np.array(variable.numpy()) for variable in (*model.variables, *optimizer.variables)]
    state = random.getstate(), np.random.get_state()[1].tolist()
    diagnosis = diagnose(**program, seconds=60)
    assert diagnosis.depth == "steps"
    after = [np.array(variable.numpy()) for variable in (*model.variables, *optimizer.variables)]
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))
    assert state == (random.getstate(), np.random.get_state()[1].tolist())
    assert keras.tree.flatten(model.losses) == []
