"""Where a pipeline runs: what is refused, what is set, how work is packed, whose packages run."""

import os
import subprocess
import sys

import pytest

from pipelines import engines, forkserver
from pipelines.engines import Engine, engine
from pipelines.records import RealEarError


@pytest.mark.parametrize(
    "runner", ["DaskRunner", "dask", "apache_beam.runners.dask.dask_runner.DaskRunner", "RayRunner"]
)
def test_runners_that_lose_work_are_refused(runner):
    with pytest.raises(RealEarError, match=rf"--runner {runner} is not offered: it is"):
        engine(runner)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--direct_running_mode=multi_threading"],
        ["--direct_running_mode", "multi_threading"],
        ["--flink_master=here", "--direct_running_mode=multi_threading"],
    ],
)
def test_multi_threading_is_refused(arguments):
    with pytest.raises(RealEarError, match="multi_threading mode drops elements in silence"):
        engine("local", 2, arguments)


@pytest.mark.parametrize(
    "runner", ["local", "FnApiRunner", "DirectRunner", "direct", "SwitchingDirectRunner"]
)
def test_every_name_of_the_local_runner_means_ours(runner):
    chosen = engine(runner, 3)
    assert chosen == Engine("local", 3, ())
    assert chosen.is_local


@pytest.mark.parametrize(
    ("given_name", "known"),
    [("FlinkRunner", "FlinkRunner"), ("flink", "FlinkRunner"), ("my.own.Runner", "my.own.Runner")],
)
def test_other_runners_go_by_beams_names(given_name, known):
    chosen = engine(given_name, 2, ["--flink_master=localhost:8081"])
    assert chosen == Engine(known, 2, ("--flink_master=localhost:8081",))
    assert not chosen.is_local


def test_an_unknown_runner_is_an_error_with_the_nearest():
    with pytest.raises(RealEarError, match=r"unknown runner 'FlinkRuner': did you mean 'Flink"):
        engine("FlinkRuner")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--flink_mastr=localhost:8081", r"unknown option '--flink_mastr=.*did you mean '--flink_"),
        ("--flink_mast=localhost:8081", r"unknown option '--flink_mast="),  # no abbreviations
        ("--wokers=2", r"unknown option '--wokers=2': did you mean '--workers'"),
        ("stray", r"unexpected argument 'stray'"),
        ("--parallelism=many", r"Beam does not accept --parallelism=many"),
        ("--direct_num_workers=2", r"say --workers"),
    ],
)
def test_what_beam_does_not_know_is_an_error(argument, message, capsys):
    with pytest.raises(RealEarError, match=message):
        engine("local", 1, [argument])


def test_no_number_of_workers_means_one_a_core():
    assert engine().workers == len(os.sched_getaffinity(0))


def test_options_of_a_local_run():
    from apache_beam.options.pipeline_options import DirectOptions, StandardOptions

    found = engines.options(engine("local", 2, ["--job_name=nightly"]))
    assert found.view_as(DirectOptions).direct_num_workers == 2
    assert found.view_as(StandardOptions).runner is None
    assert found.get_all_options()["job_name"] == "nightly"


def test_options_of_a_cluster():
    from apache_beam.options.pipeline_options import StandardOptions

    chosen = engine("flink", 2, ["--flink_master=localhost:8081"])
    found = engines.options(chosen)
    assert found.view_as(StandardOptions).runner == "FlinkRunner"
    assert found.get_all_options()["flink_master"] == "localhost:8081"
    assert engines.runner(chosen) is None


@pytest.fixture
def environment(monkeypatch):
    """The variables and the constant that a local runner sets, put back afterwards."""
    from apache_beam.runners.portability.fn_api_runner import worker_handlers

    monkeypatch.setattr(worker_handlers, "DATA_BUFFER_TIME_LIMIT_MS", 1_000)
    for name in ("PYTHONSAFEPATH", *engines.ONE_THREAD):
        monkeypatch.setenv(name, "before")
    return worker_handlers


def test_several_local_workers_are_processes_of_ours(environment):
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    found = engines.runner(engine("local", 2))
    assert type(found) is FnApiRunner
    command = found._default_environment.command_string
    assert forkserver.__file__ in command
    assert command.startswith(f"exec {sys.executable} ")
    assert environment.DATA_BUFFER_TIME_LIMIT_MS == 0
    assert os.environ["PYTHONSAFEPATH"] == "1"
    assert {os.environ[name] for name in engines.ONE_THREAD} == {"1"}


def test_a_single_local_worker_is_this_process(environment):
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner
    from apache_beam.transforms.environments import EmbeddedPythonEnvironment

    found = engines.runner(engine("local", 1))
    assert type(found) is FnApiRunner
    assert isinstance(found._default_environment, EmbeddedPythonEnvironment)
    assert os.environ["PYTHONSAFEPATH"] == "before"


@pytest.fixture
def impostor(tmp_path):
    """A folder that holds a package of the name of one of ours."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models/__init__.py").write_text("raise SystemExit('the wrong models')\n")
    return tmp_path


def python(folder, *arguments, **environment):
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_folder_that_hides_a_package_is_refused_by_both_paths(impostor):
    (impostor / "models/__init__.py").write_text("")
    ended = python(impostor, "-m", "pipelines.cli", "list", "metrics")
    said = ended.stderr.replace("\n", " ")
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in said
    ours = os.path.dirname(os.path.dirname(engines.__file__))  # noqa: PTH120
    assert f"package 'models': expected {ours}/models, found {impostor}/models" in said
    assert "PYTHONSAFEPATH=1" in said


def test_the_safe_path_lets_such_a_folder_be(impostor):
    arguments = ("-m", "pipelines.cli", "list", "metrics")
    ended = python(impostor, *arguments, PYTHONSAFEPATH="1")
    assert ended.returncode == 0, ended.stderr
    assert "wer" in ended.stdout
