"""The house's rules, read from the source: which way imports point, and what code may not contain."""

import ast
import functools
import os
import re

import pytest

_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_PACKAGES = ("configs", "losses", "trainer")


@functools.cache
def _files(*folders):
    """Path from the root -> source, of main.py and every Python file of the folders."""
    names = ["main.py"]
    for folder in folders:
        for where, _, inside in os.walk(os.path.join(_HOME, folder)):
            names += [os.path.relpath(os.path.join(where, name), _HOME) for name in inside if name.endswith(".py")]
    found = {}
    for name in sorted(names):
        with open(os.path.join(_HOME, name), encoding="utf-8") as file:
            found[name] = file.read()
    return found


_SHIPPED = sorted(_files(*_PACKAGES))


def _module(path):
    return path.removesuffix(".py").replace(os.sep, ".").removesuffix(".__init__")


_MODULES = {_module(path): path for path in _SHIPPED}


@functools.cache
def _tree(path):
    return ast.parse(_files(*_PACKAGES)[path], feature_version=(3, 10))


def _imported(node, path):
    """Own modules that an import statement names: `from trainer import loop` names trainer.stepping.loop."""
    names = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        # A folder that can be lifted out imports its own files by dots.
        package = os.path.dirname(path).split(os.sep)
        above = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
        source = ".".join(filter(None, [above, node.module]))
        for alias in node.names:
            full = f"{source}.{alias.name}"
            names.append(full if full in _MODULES else source)
    return [name for name in names if name.partition(".")[0] in (*_PACKAGES, "main", "tests", "benchmarks")]


def _imports(path, *, at_the_top=False):
    nodes = _tree(path).body if at_the_top else ast.walk(_tree(path))
    return {name for node in nodes for name in _imported(node, path)}


def _of(package):
    return [path for path in _SHIPPED if _module(path) == package or _module(path).startswith(package + ".")]


@pytest.mark.parametrize("package", ["trainer.guard"])
def test_a_folder_that_can_be_lifted_out_imports_itself_relatively(package):
    absolute = [
        (path, node.lineno)
        for path in _of(package)
        for node in ast.walk(_tree(path))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        and not getattr(node, "level", 0)
        and any(name.partition(".")[0] in _PACKAGES for name in _imported(node, path))
    ]
    assert not absolute


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("losses", r"losses(\..*)?"),
        ("losses.engine", r"losses\.engine(\..*)?"),
        ("configs.schema", r"configs\.knobs"),
        ("configs.knobs", r"configs\.reading\.(actions|durations|foreign_names|interval|nearest|references|values)"),
        ("configs", r"configs(\..*)?|losses\.names"),
        ("trainer.guard", r"trainer\.guard(\..*)?"),
        ("trainer.errors", r"(?!)"),
        ("trainer.stepping.loop", r"(?!)"),
        ("trainer", r"(configs|losses|trainer)(\..*)?"),
    ],
)
def test_a_package_imports_only_what_lies_below_it(package, allowed):
    assert _of(package)
    wrong = {(path, name) for path in _of(package) for name in _imports(path) if not re.fullmatch(allowed, name)}
    assert not wrong


# From the bottom up: a file imports its own level and those below.
_LEVELS = [
    ("configs", "losses", "trainer.guard", "trainer.errors", "trainer.console", "trainer.process", "trainer.packages"),
    (
        "trainer.stepping",
        "trainer.data",
        "trainer.models",
        "trainer.distribution",
        "trainer.parts",
        "trainer.seeds",
        "trainer.tracing",
    ),
    ("trainer.prediction", "trainer.reporting", "trainer.checkpoints", "trainer.export.serving"),
    ("trainer.evaluation", "trainer.export", "trainer.actions"),
    (
        "trainer.run",
        "trainer.assembly",
        "trainer.training",
        "trainer.own_loop",
        "trainer.check",
        "trainer.crossvalidation",
        "trainer.ensemble",
        "trainer.postprocess",
        "trainer.checkpoint_averaging",
        "trainer.label_audit",
        "trainer.plan",
        "trainer.sweep",
        "trainer.result",
        "trainer.weights",
        "trainer.workdir",
    ),
    ("main", "trainer.launch", "trainer.signals"),
]


def _level(module):
    levels = {name: number for number, names in enumerate(_LEVELS) for name in names}
    named = [name for name in levels if f"{module}.".startswith(f"{name}.")]
    assert named or module == "trainer", f"{module} has no level"
    return levels[max(named, key=len)] if named else 0


def test_imports_point_one_way():
    wrong = {
        (path, name)
        for path in _SHIPPED
        for name in _imports(path)
        if _level(name) > _level(_module(path)) and path != "trainer/__init__.py"
    }
    assert not wrong


def test_nothing_imports_main():
    assert not {path for path in _SHIPPED if "main" in _imports(path)}


def test_importing_trainer_is_free():
    """Its names are looked up when they are used."""
    assert not _imports(os.path.join("trainer", "__init__.py"), at_the_top=True)


def test_top_level_imports_have_no_circle():
    below = {name: _imports(path, at_the_top=True) - {name} for name, path in _MODULES.items()}
    while below:
        leaves = {name for name, needed in below.items() if not needed & below.keys()}
        assert leaves, f"a circle among {sorted(below)}"
        below = {name: needed for name, needed in below.items() if name not in leaves}


def test_only_the_reading_of_the_command_line_knows_absl_flags():
    importers = {path for path in _SHIPPED if re.search(r"^\s*(from|import) absl\b", _files(*_PACKAGES)[path], re.M)}
    assert importers == {f"configs/reading/{name}.py" for name in ("command", "flag_syntax", "flags", "help")}


def test_the_step_has_the_only_gradient_tape_outside_the_guard():
    with_tape = {
        path
        for path in _of("trainer")
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Attribute) and node.attr == "GradientTape" and "guard" not in path
    }
    assert with_tape == {os.path.join("trainer", "stepping", "step.py")}


def test_files_are_about_a_subject():
    found = []
    for path in _files(*_PACKAGES, "tests", "benchmarks"):
        if re.fullmatch(r"(.*_)?(utils?|helpers?|common|misc)\.py", os.path.basename(path)) and "cases" not in path:
            found.append(f"{path}: what is it about?")
    assert not found


def test_no_construct_is_unsafe_or_hides_a_fault():
    found = []
    for path in _SHIPPED:
        for node in ast.walk(_tree(path)):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                bad = any(name.partition(".")[0] in ("pickle", "marshal", "shelve", "dill") for name in names)
            elif isinstance(node, ast.Call):
                bad = isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec")
            elif isinstance(node, ast.keyword):
                bad = node.arg == "shell"
            elif isinstance(node, ast.ExceptHandler):
                bad = node.type is None
            else:
                # An assert vanishes with -O.
                bad = isinstance(node, ast.Assert)
            if bad:
                found.append(f"{path}, line {getattr(node, 'lineno', '?')}: {type(node).__name__}")
    assert not found


def test_a_private_api_is_explained_where_it_is_used():
    private = re.compile(r"^\s*(?:from|import) ((?:tensorflow\.python|keras\.src)\S*(?: import \w+)?)", re.MULTILINE)
    explained: dict[str, bool] = {}
    for path in _SHIPPED:
        source = _files(*_PACKAGES)[path]
        for name in private.findall(source):
            # Once is enough for a module that several files of a package take.
            explained[name] = explained.get(name, False) or "public" in source
    assert explained
    assert not [name for name, reason in explained.items() if not reason], "which public API is missing?"


def test_a_text_file_is_opened_with_its_encoding():
    """A locale's encoding may be ASCII; the linter's own rule sees only what it can prove to be a path or a file."""
    found = []
    for path, text in _files(*_PACKAGES, "tests", "benchmarks").items():
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            name, given = node.func.attr, {keyword.arg for keyword in node.keywords}
            # Of read_text the first argument is the encoding, of write_text the second.
            is_text = len(node.args) < {"read_text": 1, "write_text": 2}.get(name, 0)
            is_text |= name in ("run", "Popen", "check_output") and bool({"text", "universal_newlines"} & given)
            is_text |= name == "open" and not node.args and not given
            if is_text and "encoding" not in given:
                found.append(f"{path}:{node.lineno}: {ast.unparse(node)[:80]}")
    assert not found, "\n".join(found)


def test_what_make_and_pip_read_is_ascii():
    """Both decode in the locale's encoding, which in a container may be ASCII."""
    for name in ("Makefile", "requirements.txt", *(f".ci/{name}" for name in os.listdir(os.path.join(_HOME, ".ci")))):
        with open(os.path.join(_HOME, name), "rb") as file:
            assert file.read().isascii(), name


def test_every_module_says_what_it_is_for():
    assert not [path for path in _SHIPPED if _tree(path).body and not ast.get_docstring(_tree(path))]


def test_nothing_shipped_names_a_place_on_one_machine():
    places = re.compile(r"/(work|root|home|Users)/|\.\./shared")
    assert not [path for path in _SHIPPED if places.search(_files(*_PACKAGES)[path])]
