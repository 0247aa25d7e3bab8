"""The command line: every mistake is answered by a message that names it, with exit code 2, and nothing is started."""

import os
import re
import string

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import configs
import main
from configs.reading import fields
from configs.reading.flags import MODES, define_flags
from tests.program.wrong_command_lines import FILES, WRONG
from trainer.errors import EXIT_OK, EXIT_USAGE, UserError

_RECIPES = os.path.dirname(os.path.abspath(configs.__file__))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the table's files in it, as the current directory; to start anything from it is a failure."""
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.chdir(tmp_path)
    # As `python main.py` has it: the current directory is searched for the user's modules.
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    monkeypatch.setattr(main, "_prepare_environment", lambda: pytest.fail("a wrong command line was started"))
    return tmp_path


def _content(folder):
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(("arguments", "named"), WRONG, ids=lambda value: " ".join(value)[:60])
def test_wrong_command_line_names_its_mistake(folder, capsys, arguments, named):
    before = _content(folder)
    arguments = [argument.replace("{config}", _RECIPES) for argument in arguments]

    code = main.main(["main.py", *arguments])

    out, err = capsys.readouterr()
    assert code == EXIT_USAGE
    assert out == ""
    # Lines are broken at the terminal's width, between words.
    assert all(len(line) <= 80 or " " not in line.strip() for line in err.splitlines())
    said = " ".join(err.split())
    for text in named:
        assert " ".join(text.split()) in said
    assert "Traceback" not in err
    assert _content(folder) == before


def test_there_are_a_hundred_wrong_command_lines():
    assert len({tuple(arguments) for arguments, _ in WRONG}) >= 100


def test_all_mistakes_are_in_one_message(folder, capsys):
    arguments = [
        "--mod=train",
        "stray",
        "--seed=a",
        "--config.optimizer.lr=1",
        "--config.train.accumulate=3",
        "--config.loss.name=dyce",
        "--config.data.source=folder",
        "--config.train.length=9",
    ]

    assert main.main(["main.py", *arguments]) == EXIT_USAGE

    err = capsys.readouterr().err
    assert err.startswith("8 mistakes; nothing was started:")
    assert [number for number in range(1, 20) if f"\n  {number}. " in err] == list(range(1, 9))


def test_mistakes_of_the_recipe_and_of_the_flags_are_told_together(folder, capsys):
    main.main(["main.py", "--config=recipes/misspelt.py", "--config.optimizer.lr=1", "--formats=x"])

    err = capsys.readouterr().err
    assert "lerning_rate" in err and "--config.optimizer.lr" in err and "--formats" in err


def test_a_field_with_a_wrong_text_is_not_judged_by_its_old_value_as_well(folder, capsys):
    main.main(["main.py", "--config.train.batch_size=eight", "--config.train.accumulate=3"])

    assert "train.accumulate" not in capsys.readouterr().err


def _read(*arguments):
    return main.read(list(arguments))


@pytest.mark.parametrize(
    ("arguments", "path", "value"),
    [
        (["--config.optimizer.learning_rate=3e-4"], "optimizer.learning_rate", 3e-4),
        (["--config.optimizer.learning_rate", "3e-4"], "optimizer.learning_rate", 3e-4),
        (["-config.optimizer.learning_rate=3e-4"], "optimizer.learning_rate", 3e-4),
        (["--config.optimizer.learning_rate=1", "--config.optimizer.learning_rate=2"], "optimizer.learning_rate", 2.0),
        (["--config.train.jit_compile"], "train.jit_compile", True),
        (["--config.train.jit_compile", "--seed=1"], "train.jit_compile", True),
        (["--config.train.jit_compile=True"], "train.jit_compile", True),
        (["--noconfig.augment.flip_vertical"], "augment.flip_vertical", False),
        (["--config.augment.flip_vertical=false"], "augment.flip_vertical", False),
        (["--config.augment.flip_vertical", "no"], "augment.flip_vertical", False),
        (["--config.augment.crop=64,96"], "augment.crop", (64, 96)),
        (["--config.augment.crop=(64, 96)"], "augment.crop", (64, 96)),
        (["--config.augment.crop=[64, 96]"], "augment.crop", (64, 96)),
        (["--config.data.classes=sky,cell"], "data.classes", ("sky", "cell")),
        (['--config.data.classes=["a, b", "c"]'], "data.classes", ("a, b", "c")),
        (["--config.guard.allow="], "guard.allow", ()),
        (["--config.guard.allow=pooler/.*"], "guard.allow", ("pooler/.*",)),
        (["--config.loss.weights=1,0.5"], "loss.weights", (1.0, 0.5)),
        (['--config.loss.options={"dice": {"over": "batch"}}'], "loss.options", {"dice": {"over": "batch"}}),
        (["--config.data.channels=1"], "data.channels", 1),
        (["--config.train.length=3 epochs"], "train.length", "3 epochs"),
        (["--config.data.void_id", "-1"], "data.void_id", -1),
        (["--seed", "7"], "seed", 7),
        (["--seed=7", "--config.seed=7"], "seed", 7),
        (["--deterministic"], "deterministic", True),
        (["--nodeterministic"], "deterministic", False),
        (["--strategy=one"], "strategy", "one"),
        (["--config.optimizer.name=sgd"], "optimizer.name", "sgd"),
        (
            ["--config.optimizer.name=lion", '--config.optimizer.options={"beta_2": 0.9}'],
            "optimizer.options",
            {"beta_2": 0.9},
        ),
        (
            ["--config.train.actions=100 steps: json:dumps,end: json:loads"],
            "train.actions",
            ("100 steps: json:dumps", "end: json:loads"),
        ),
        (["--config.evaluate.metrics=json:f1", "--config.evaluate.metric=f1"], "evaluate.metric", "f1"),
        (["--config.task=json:Task"], "task", "json:Task"),
        (["--config.data.source=json:load", "--config.data.classes=a,b,c"], "data.source", "json:load"),
    ],
)
def test_a_field_is_set(arguments, path, value):
    command = _read(*arguments)
    mode, config = command.mode, command.config

    assert mode == "train"
    assert fields.get(config, path) == value
    assert type(fields.get(config, path)) is type(value)


def test_no_flags_train_the_default_in_a_workdir_named_after_it():
    command = _read()
    mode, config, options = command.mode, command.config, command

    assert (mode, config.name, options.workdir) == ("train", "nuclei", os.path.join("runs", "nuclei"))


def test_options_of_a_mode(folder):
    options = _read(
        "--mode=predict",
        "--config=recipes/good.py",
        "--input=photos",
        "--input",
        "*.txt",
        "--output=masks",
        "--checkpoint=latest",
        "--workdir=w",
    )

    assert options.mode == "predict"
    assert options.inputs == ("photos", "*.txt")
    assert (options.output, options.checkpoint, options.workdir) == ("masks", "latest", "w")


@pytest.mark.parametrize(
    ("arguments", "workdir"),
    [
        (["--config.optimizer.learning_rate=3e-4"], "nuclei-learning_rate=0.0003"),
        (["--config.augment.crop=64,64", "--seed=3"], "nuclei-seed=3,crop=64x64"),
        (["--config.checkpoint.keep=9", "--strategy=one"], "nuclei"),  # another distance of lines is no other run
        (["--config.name=mine"], "mine"),
        (["--config.optimizer.learning_rate=3e-4", "--force_config"], "nuclei"),
        (
            ["--config.model.encoder_weights=", '--config.loss.options={"dice": {"over": "batch"}}'],
            "nuclei-options=_dice_over_batch_",
        ),
    ],
)
def test_a_run_of_another_config_has_a_directory_of_its_own(folder, arguments, workdir):
    assert _read(*arguments).workdir == os.path.join("runs", workdir)


def test_a_directory_named_after_many_fields_stays_short_and_the_same(folder):
    arguments = [f"--config.data.classes={'a' * 50},{'b' * 50}"]

    name = os.path.basename(_read(*arguments).workdir)

    assert re.fullmatch("nuclei-[0-9a-f]{8}", name) and name == os.path.basename(_read(*arguments).workdir)
    assert name != os.path.basename(_read(arguments[0] + "b").workdir)


def test_evaluate_finds_the_run_of_the_same_flags_and_else_the_recipes(folder):
    from configs.reading.serialization import to_json

    for flags in ([], ["--seed=3"]):
        command = _read(*flags)
        os.makedirs(command.workdir, exist_ok=True)
        with open(os.path.join(command.workdir, "config.json"), "w", encoding="utf-8") as file:
            file.write(to_json(command.config))

    assert _read("--mode=evaluate", "--seed=3").workdir == os.path.join("runs", "nuclei-seed=3")
    found = _read("--mode=evaluate", "--config.evaluate.tile=64,64")
    assert (found.workdir, found.config.evaluate.tile) == (os.path.join("runs", "nuclei"), (64, 64))


def test_predict_takes_the_config_of_the_run_and_changes_on_top(folder):
    from configs.reading.serialization import to_json

    config = _read(
        "--seed=5", "--config.optimizer.learning_rate=0.25", "--config.data.source=tfds", "--config.data.name=x"
    ).config
    (folder / "trained").mkdir()
    (folder / "trained" / "config.json").write_text(to_json(config), encoding="utf-8")

    found = _read("--mode=predict", "--workdir=trained", "--input=photos", "--config.evaluate.tile=64,64").config

    assert (found.seed, found.optimizer.learning_rate, found.evaluate.tile) == (5, 0.25, (64, 64))


def test_predict_does_not_need_the_training_data(folder):
    config = _read("--mode=predict", "--config=" + os.path.join(_RECIPES, "dubai.py"), "--input=photos").config

    assert config.data.path == ""


def test_a_recipe_is_found_from_any_directory(folder):
    config = _read("--config=configs/oxford_pets.py").config

    assert config.name == "oxford_pets"


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--mode=predict", "--help"], ["--wrong", "--help=x"]])
def test_help_shows_every_flag_and_starts_nothing(folder, capsys, arguments):
    assert main.main(["main.py", *arguments]) == EXIT_OK

    out = capsys.readouterr().out
    for name in define_flags():
        assert f"--{name}" in out
    assert "--config.optimizer.momentum" not in out


def test_helpfull_documents_every_field(folder, capsys):
    assert main.main(["main.py", "--helpfull"]) == EXIT_OK

    out = re.sub(r"\s+", " ", capsys.readouterr().out)
    for path, field in fields.all_fields().items():
        assert f"--config.{path}" in out
        assert re.sub(r"\s+", " ", field.doc)[:40] in out


def test_an_error_of_the_program_keeps_its_traceback(monkeypatch):
    def broken(run, stop):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(main, "_prepare_environment", lambda: monkeypatch.setattr("trainer.run.Run.train", broken))
    with pytest.raises(RuntimeError, match="a fault of ours"):
        main.main(["main.py"])


@pytest.mark.parametrize("code", [1, 2, 75])
def test_an_error_for_the_user_is_its_message_and_its_code(monkeypatch, capsys, code):
    def fails(run, stop):
        raise UserError("the disk is full", exit_code=code)

    monkeypatch.setattr(main, "_prepare_environment", lambda: monkeypatch.setattr("trainer.run.Run.train", fails))

    assert main.main(["main.py"]) == code
    assert capsys.readouterr().err == "the disk is full\n"


# A fuzzer: known names, names with a typing error, and any text, joined as on a command line.
_PATHS = [*fields.all_fields(), *fields.sections()]
_ANY = st.text(alphabet=st.characters(exclude_characters="\0"), max_size=12)
_TEXT = st.one_of(
    _ANY,
    st.sampled_from(["", "0", "-1", "1e400", "nan", "true", "[]", "{}", "[[", "1,2", "1,2,3,4", "a:b", "()", "null"]),
    st.integers().map(str),
    st.floats().map(str),
)


@st.composite
def _argument(draw):
    name = draw(st.one_of(st.sampled_from([f"config.{path}" for path in _PATHS] + list(define_flags())), _ANY))
    if draw(st.booleans()) and name:
        at = draw(st.integers(0, len(name) - 1))
        name = name[:at] + draw(st.sampled_from(string.ascii_lowercase + "._")) + name[at + draw(st.integers(0, 1)) :]
    dashes = draw(st.sampled_from(["--", "--", "--", "-", "", "--no"]))
    return dashes + name + draw(st.one_of(st.just(""), _TEXT.map(lambda text: "=" + text)))


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.one_of(_argument(), _TEXT), max_size=4))
@example(["--config.model.options=" + "[" * 100_000])
@example(["--config.seed=" + "9" * 10_000])
@example(["--config.name=\udcff"])
@example(["--config.guard.allow=" + "(" * 200])
def test_any_command_line_is_either_valid_or_answered_in_words(folder, arguments):
    before = _content(folder)
    try:
        command = main.read(arguments)
    except UserError as error:
        assert error.exit_code == EXIT_USAGE
        assert "--help" in str(error)
        assert "Traceback" not in str(error)
    else:
        assert command.mode in MODES and command.workdir and command.config.name
    assert _content(folder) == before
