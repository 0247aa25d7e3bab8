"""The house's rules, held by reading the imports: arrows point one way, files fit in the head."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = sorted(p for folder in ("trainer", "losses", "configs") for p in (ROOT / folder).rglob("*.py")) + [ROOT / "main.py"]


def imported(path):
    """Dotted names of everything a file imports, at its top or inside a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def of_ours(names):
    return {name for name in names if name.split(".")[0] in ("trainer", "losses", "configs", "main", "tests", "benchmarks")}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows_point_one_way(path):
    place, names = path.relative_to(ROOT).as_posix(), of_ours(imported(path))
    assert not {n for n in names if n.split(".")[0] in ("main", "tests", "benchmarks")} or place == "main.py"
    if place.startswith("trainer/guard/"):
        assert all(name.startswith("trainer.guard") for name in names), names
    if place.startswith("losses/"):
        assert all(name.startswith("losses") for name in names), names
    if place == "configs/schema.py":
        assert not names
    if place.startswith("configs/"):
        assert not {n for n in names if n.startswith("trainer") and not n.startswith("trainer.errors")}, names
    if place != "main.py" and place.startswith("trainer/"):
        assert "trainer.experiment" not in names


def test_the_tape_is_in_the_step_alone():
    users = [
        path.relative_to(ROOT).as_posix()
        for path in FILES
        if "GradientTape(" in path.read_text(encoding="utf-8") and "guard" not in path.parts and "losses" not in path.parts
    ]
    assert users == ["trainer/step.py"]


def test_only_main_reads_flags():
    readers = [p.name for p in FILES if {n for n in imported(p) if n.startswith("absl")}]
    assert set(readers) <= {"main.py", "commandline.py", "document.py"}, readers


def test_no_drawer_and_no_long_file():
    assert not [p for p in FILES if p.stem in ("utils", "util", "helpers", "misc")]
    long = {p.relative_to(ROOT).as_posix(): n for p in FILES if (n := len(p.read_text().splitlines())) > 350}
    assert not long
