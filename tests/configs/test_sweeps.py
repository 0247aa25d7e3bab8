"""A sweep's ranges are judged as a whole, before anything is started."""

import pytest

import main
from configs import knobs
from configs.reading import sweeps
from configs.schema import Config, Evaluate, Train
from configs.sweep import Between, OneOf, Sweep, between, one_of
from trainer.errors import UserError


def problems(ranges, config=None, given=(), **fields):
    with knobs.unchecked():
        sweep = Sweep(ranges=ranges, **fields)
    return sweeps.problems(sweep, config or Config(), given=given)


@pytest.mark.parametrize(
    ("path", "range_", "reason"),
    [
        ("optimizer.lr", between(1e-4, 1e-2), "there is no such field. Did you mean optimizer.learning_rate?"),
        ("optimizer", between(1e-4, 1e-2), "this is a section. Write one of its fields: optimizer.name, "),
        ("workdir", one_of("a", "b"), "each trial has a folder of its own"),
        ("seed", between(0, 9), "the best is the luckiest"),
        ("train.length", one_of("5 steps", "9 steps"), "not be the same work"),
        ("train.batch_size", one_of(4, 8), "in as many steps a larger batch sees more images"),
        ("data.validation_fraction", between(0.1, 0.3), "which examples are scored"),
        ("evaluate.mirror", one_of(True, False), "how a trial is scored"),
        ("train.log_every", one_of("3 steps", "4 steps"), "changes nothing about what is learned"),
        ("optimizer.learning_rate", between(1e-2, 1e-4), "between(0.01, 0.0001) is empty: the lower end comes first"),
        ("optimizer.learning_rate", between(-1.0, 1.0), "low=-1.0: it has to be above 0"),
        (
            "optimizer.weight_decay",
            between(0, 1, log=True),
            "log=True needs a lower end above 0: between(0.001, 1, log",
        ),
        ("model.width", between(8.5, 16), "low: 8.5 is a number, not a whole number."),
        ("optimizer.schedule", between(0, 1), "it is text, not a number. Write one_of(…)"),
        ("model.depth", [2, 3], "[2, 3] is no range. Write between(low, high) or one_of(2, 3)."),
        (
            "model.depth",
            one_of(2),
            "of 1 values there is nothing to choose. Set it for all trials: --config.model.depth=",
        ),
        ("model.depth", one_of(2, 3, 2), "2 is there twice."),
        ("model.depth", one_of(2, "3"), "'3' is text, not a whole number."),
        ("loss.name", one_of("dice", "dyce"), "'dyce' is no loss (did you mean 'dice'"),
        ("optimizer.momentum", between(0.5, 0.8), "optimizer.name=adamw does not read it; sgd does."),
    ],
)
def test_a_range_that_cannot_be(path, range_, reason):
    (problem,) = problems({path: range_})
    assert problem.startswith(path) and reason in problem


def test_all_mistakes_come_together():
    found = problems({"optimizer.lr": 1, "seed": between(0, 3)}, trials=0, sampler="bayes")
    assert [text.partition(":")[0] for text in found] == ["sweep.trials=0", "sweep.sampler", "optimizer.lr", "seed"]
    assert problems({}) == [
        'there are no ranges: write ranges={"optimizer.learning_rate": between(1e-4, 1e-2, log=True)}.'
    ]


def test_values_that_do_not_go_together_are_found_before_they_are_drawn():
    (problem,) = problems({"augment.crop": one_of((96, 96), (80, 80)), "model.depth": between(2, 5)})
    assert "multiples of 32" in problem and "(drawn together with model.depth=5)" in problem
    assert not problems({"augment.crop": one_of((96, 96), (64, 64)), "model.depth": between(2, 5)})
    # Of many ranges not all combinations are judged, but every end of each.
    wide = {f"augment.{name}": between(0.0, 0.5) for name in ("color", "gamma", "noise", "blur", "rotate", "contrast")}
    (problem,) = problems({**wide, "model.depth": one_of(2, 3, 8), "augment.brightness": between(0.0, 0.2)})
    assert "model.depth=8" in problem


def test_a_field_that_is_read_beside_one_of_the_values_is_swept():
    assert not problems({"optimizer.name": one_of("adamw", "sgd"), "optimizer.momentum": between(0.5, 0.99)})


def test_values_of_different_losses_do_not_compare():
    ranges = {"loss.name": one_of("dice", "jaccard")}
    (problem,) = problems(ranges, Config(evaluate=Evaluate(metric="loss")))
    assert "values of different losses do not compare" in problem and not problems(ranges)


def test_batches_are_swept_where_the_length_is_in_epochs():
    assert not problems({"train.batch_size": one_of(4, 8)}, Config(train=Train(length="9 epochs")))


def test_a_part_that_is_an_object_has_no_name_to_sweep():
    (problem,) = problems({"loss.name": one_of("dice", "jaccard")}, given=("loss",))
    assert "loss= was passed as an object" in problem


def test_numbers_get_their_fields_type():
    exact = sweeps.exact(
        Sweep(
            ranges={
                "optimizer.learning_rate": between(0.001, 1),
                "model.depth": between(2, 3),
                "augment.crop": one_of([8, 8], [16, 16]),
            }
        )
    )
    assert exact.ranges["optimizer.learning_rate"] == Between(0.001, 1.0) and exact.ranges["model.depth"].high == 3
    assert exact.ranges["augment.crop"] == OneOf(((8, 8), (16, 16)))


def read(*arguments):
    return main.read(["--mode=sweep", *arguments])


def test_the_flags_are_in_the_help(capsys):
    assert main.main(["main.py", "--help"]) == 0
    output = capsys.readouterr().out
    assert "--sweep=…" in output and "--trials=…" in output and "--minutes=…" in output


def test_the_command_line(tmp_path):
    command = read("--sweep=configs/sweeps/nuclei.py", "--trials=7", "--minutes=1.5", "--config.train.length=9 steps")
    assert (command.sweep.trials, command.sweep.minutes, len(command.sweep.ranges)) == (7, 1.5, 4)
    assert read("--sweep=configs/sweeps/nuclei.py").workdir == "runs/nuclei-sweep"
    with pytest.raises(UserError, match="--sweep=configs/sweeps/nuclei.py"):
        read()
    with pytest.raises(UserError, match="Did you mean --sweep=configs/sweeps/nuclei.py"):
        read("--sweep=configs/sweeps/nucleii.py")
    with pytest.raises(UserError) as caught:
        read(
            "--sweep=configs/sweeps/nuclei.py",
            "--trials=many",
            "--minutes=-1",
            "--config.optimizer.learning_rate=1",
            "--output=x",
        )
    text = str(caught.value)
    assert "4 mistakes" in text and "--trials=many: 'many' is not a whole number." in text
    assert "sweep.minutes=-1.0: it has to be at least 0." in text and "--output: --mode=sweep does not read it" in text
    assert "--config.optimizer.learning_rate=1: configs/sweeps/nuclei.py draws it for each trial." in text
    with pytest.raises(UserError, match="--trials: --mode=train does not read it; sweep would"):
        main.read(["--trials=3"])
    (tmp_path / "wrong.py").write_text(
        "from configs.sweep import Sweep, between\n\ndef get_sweep():\n    return 1\n", encoding="utf-8"
    )
    with pytest.raises(UserError, match="get_sweep\\(\\) returned 1, not a Sweep"):
        read(f"--sweep={tmp_path / 'wrong.py'}")
