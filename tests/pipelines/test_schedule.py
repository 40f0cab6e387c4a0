"""Examples of scheduling: cron's and GitHub's are run as they would run them, on a small suite."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from check_jsonschema.schema_loader import BuiltinSchemaLoader
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
SCHEDULE = ROOT / "examples/schedule"


@pytest.fixture
def desk(evaluated, doubles, tmp_path) -> Path:
    """A folder with a suite, the workspace of an earlier night, and realear on its PATH."""
    shutil.copytree(evaluated, tmp_path / "realear")
    shutil.copy(evaluated / "suite.yaml", tmp_path)
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin/realear"
    command.write_text(
        f"#!{sys.executable}\nimport sys; sys.path[:0] = {[str(doubles), str(ROOT)]!r}\n"
        "from pipelines.cli import main; main()\n"
    )
    command.chmod(0o755)
    return tmp_path


def run(desk: Path, command: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    """A command in an environment as bare as a scheduler's."""
    bare = {"PATH": f"{desk}/bin:/usr/bin:/bin", "HOME": str(desk), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=desk, env=bare | more, capture_output=True, text=True, check=False, timeout=120
    )


def crontab() -> tuple[list[str], list[str]]:
    """When, and what, of the one entry."""
    lines = (SCHEDULE / "crontab").read_text().splitlines()
    assignment = re.compile(r"\w+=")
    [entry] = [line for line in lines if line and line[0] != "#" and not assignment.match(line)]
    assert "%" not in entry  # cron makes line ends of them
    fields = entry.split(maxsplit=5)
    return fields[:5], shlex.split(fields[5])


def test_cron_runs_it_in_silence_and_says_what_is_wrong(desk: Path) -> None:
    when, (script, _, _, *options) = crontab()
    assert all(re.fullmatch(r"\*|\d{1,2}", field) for field in when)
    assert Path(script).name == "nightly.sh"
    night = [str(SCHEDULE / "nightly.sh"), "suite.yaml", "realear"]
    ended = run(desk, [*night, *options])
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    [log] = (desk / "realear/logs").glob("*.log")
    assert "was logged before" in log.read_text()
    log.unlink()
    ended = run(desk, [*night, "--fail-if", "synthetic.wer > 0.0001"])
    assert ended.returncode == 5
    assert "synthetic.wer > 0.0001" in ended.stdout
    assert "ended in 5" in ended.stdout


def test_cron_does_not_start_a_second_one(desk: Path) -> None:
    (desk / "realear/logs").mkdir()
    night = shlex.join([str(SCHEDULE / "nightly.sh"), "suite.yaml", "realear"])
    ended = run(desk, ["flock", "realear/logs/lock", "sh", "-c", night])
    assert (ended.returncode, "not done yet" in ended.stdout) == (75, True)
    assert not list((desk / "realear/logs").glob("*.log"))


def workflow() -> dict:
    return YAML(typ="safe").load(SCHEDULE / "github-actions.yml")


def test_the_workflow_is_one_by_githubs_own_schema() -> None:
    loader = BuiltinSchemaLoader("vendor.github-workflows")
    schema = loader.get_schema()
    wrong = workflow()
    jsonschema.Draft7Validator(schema).validate(wrong)
    wrong["jobs"]["evaluate"]["steps"][0] = {"use": "actions/checkout@v4"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate(wrong)


@pytest.mark.parametrize(("gate", "code"), [("worse.wer > 0.01", 0), ("synthetic.wer > 0.0001", 5)])
def test_the_workflows_steps_run(desk: Path, gate: str, code: int) -> None:
    [job] = workflow()["jobs"].values()
    summary = desk / "summary.md"
    summary.touch()
    steps = {step["name"]: step["run"] for step in job["steps"] if "run" in step}
    assert steps.keys() == {"Install", "Check the suite", "Evaluate"}
    for name in ("Check the suite", "Evaluate"):
        script = steps[name].replace("worse.wer > 0.01", gate)
        ended = run(
            desk, ["bash", "-e", "-c", script], SUITE="suite.yaml",
            WORKSPACE=job["env"]["WORKSPACE"], GITHUB_STEP_SUMMARY=str(summary),
        )  # fmt: skip
        assert ended.returncode == (code if name == "Evaluate" else 0), ended.stdout + ended.stderr
    assert (gate in summary.read_text()) == (code == 5)
    [kept] = [step["with"]["path"] for step in job["steps"] if "upload" in step.get("uses", "")]
    assert (desk / kept / "small/index.html").is_file()
    assert json.loads((desk / kept / "small/feed.json").read_text())["items"]


def test_airflows_is_python_and_asks_for_what_there_is() -> None:
    tree = ast.parse((SCHEDULE / "airflow_dag.py").read_text())
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert {"realear", "evaluate", "--out", "--since", "--fail-if"} <= set(map(str, texts))


def test_the_script_can_be_run() -> None:
    assert os.access(SCHEDULE / "nightly.sh", os.X_OK)
