"""The arrows between the packages, the size of files and functions, and the list in setup.py."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ARROWS = {
    "metrics": set(),
    "models": {"metrics"},
    "leaderboards": {"metrics"},
    "pipelines": {"metrics", "models", "leaderboards"},
}
BEAM = {"engines", "transforms", "inference", "pool", "worker", "objects"}  # modules of pipelines
LAZY = re.compile(r"([A-Za-z_]\w*)(\.\w+)*:\w+")  # "module:Class", as registries hold it
FILE_LINES = 600
BODY_LINES = 60

FILES = sorted(path for package in ARROWS for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def imported(source: str) -> Iterator[str]:
    """Full names of the modules that a source imports, wherever it does and however lazily."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
        elif isinstance(node, ast.Constant) and LAZY.fullmatch(str(node.value)):
            yield str(node.value).partition(":")[0]


def forbidden(source: str, package: str, module: str) -> list[str]:
    """The imports of a module that no arrow allows."""
    ours = {*ARROWS, "tests"} - ARROWS[package] - {package}
    if not (package == "pipelines" and module in BEAM):
        ours.add("apache_beam")
    return [name for name in imported(source) if name.split(".")[0] in {*ours, ""}]


def functions(source: str) -> Iterator[tuple[str, int]]:
    """Name and lines of the body of every function."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or 0) - node.body[0].lineno + 1


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=place)
def test_imports_follow_the_arrows(path):
    package, *_ = path.relative_to(ROOT).parts
    assert forbidden(path.read_text(encoding="utf-8"), package, path.stem) == []


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("metrics", "import models"),
        ("metrics", "def f():\n    from pipelines.audio import mono"),
        ("models", "from leaderboards import boards"),
        ("models", "LATER = {'nmf': 'pipelines.audio:mono'}"),
        ("leaderboards", "if TYPE_CHECKING:\n    import models.base as base"),
        ("pipelines", "from tests import conftest"),
        ("pipelines", "import apache_beam as beam"),
        ("pipelines", "from . import audio"),
    ],
)
def test_a_wrong_import_is_seen(package, source):
    assert len(forbidden(source, package, "module")) == 1


def test_there_is_something_to_check():
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(ARROWS)
    wiring = (ROOT / "pipelines/transforms.py").read_text(encoding="utf-8")
    assert "apache_beam" in imported(wiring)


@pytest.mark.parametrize("path", [*FILES, *TESTS], ids=place)
def test_files_and_functions_stay_short(path):
    source = path.read_text(encoding="utf-8")
    assert source.count("\n") <= FILE_LINES
    assert [found for found in functions(source) if found[1] > BODY_LINES] == []


def test_a_long_function_is_seen():
    body = "\n".join(["    pass"] * (BODY_LINES + 1))
    assert list(functions(f"def f(\n    a,\n):\n{body}\n")) == [("f", BODY_LINES + 1)]


def test_setup_lists_every_package_and_no_tests():
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    listed = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "PACKAGES"
    )
    found = {".".join(path.relative_to(ROOT).parent.parts) for path in FILES}
    assert listed == sorted(found)
    for name in found:
        assert (ROOT / name.replace(".", "/") / "__init__.py").is_file()
