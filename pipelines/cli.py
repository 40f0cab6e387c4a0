"""The `realear` command: thin. Every command parses, builds, runs, and says how it ended."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import warnings
from dataclasses import replace
from gc import freeze
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.markup import escape

from pipelines import engines, lean, progress, stores
from pipelines.options import (
    BeamVersion,
    BoardSuite,
    Experiment,
    FailIf,
    Fetch,
    FromMlflow,
    Line,
    Out,
    PlanOnly,
    Port,
    RecipeFile,
    Replay,
    Runner,
    Serve,
    Since,
    SuiteFile,
    Timeout,
    Tracking,
    WithAudio,
    Workers,
)
from pipelines.records import GateFired, LostWork, RealEarError, ToleranceExceeded
from pipelines.workspace import Workspace

if TYPE_CHECKING:  # the commands import what they need: `realear --help` must be quick
    from pipelines.make import Made

OUT = "realear"
# What a command does not know goes to Beam, which refuses what it does not know either.
TO_BEAM = {"allow_extra_args": True, "ignore_unknown_options": True}

app = typer.Typer(
    help="Does the model do in real life what it does on the benchmark?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Start with `realear demo`. Exit codes: 0 well, 2 a mistake to mend, 3 more clips "
    "failed than tolerated, 4 rows lost on the way, 5 a gate fired, 130 interrupted.",
)


def _engine(
    context: typer.Context, runner: str, workers: int, timeout: float = 0.0
) -> engines.Engine:
    """The engine asked for. First thing in a command: its workers start while we import."""
    found = replace(engines.engine(runner, workers, context.args), timeout=timeout)
    engines.begin(found)
    lean.arrow()
    return found


@app.command(context_settings=TO_BEAM)
def demo(
    context: typer.Context,
    out: Out = OUT,
    real: Annotated[str | None, typer.Option(help="Folder of your own recordings.")] = None,
    tolerate: Annotated[float, typer.Option(help="Share of yours that may be refused.")] = 0.0,
    tracking: Tracking = None,
    workers: Workers = 0,
    timeout: Timeout = 0,
    runner: Runner = "local",
) -> None:
    """A leaderboard from nothing: synthesise, degrade, recognise, separate, enhance, compare.

    --real FOLDER adds your recordings: with KEY.txt beside KEY.wav, a manifest.csv, clean/ and
    noisy/, or mix/, with s1/ and s2/ if you have them.
    """
    engine = _engine(context, runner, workers, timeout)
    from pipelines import boarding
    from pipelines import demo as demonstration

    suite = demonstration.suite(real, tolerate=tolerate)
    boarding.evaluate(suite, Workspace(out), engine, boarding.Asked(tracking=tracking))


@app.command(context_settings=TO_BEAM)
def evaluate(
    context: typer.Context,
    suite: SuiteFile,
    out: Out = OUT,
    workers: Workers = 0,
    timeout: Timeout = 0,
    runner: Runner = "local",
    with_audio: WithAudio = False,
    tracking: Tracking = None,
    fail_if: FailIf = None,
    since: Since = None,
    validate: Annotated[
        bool, typer.Option("--validate", help="Check every word of the suite, run nothing.")
    ] = False,
) -> None:
    """Run a suite end to end. What is there already, made of the same, is not made again.

    A gate of --fail-if is [comparison.][model.]quantity.metric[.low or .high] > number; quantities
    are synthetic, simulated, real, change, gap, failed, and worse (than --since).
    """
    engine = _engine(context, runner, workers, timeout)
    from pipelines import boarding, config

    loaded = config.load_suite(suite)
    asked = boarding.Asked(with_audio, tracking, tuple(fail_if or ()), since)
    if validate:
        boarding.validate(loaded, asked)
        progress.console.print(f"{suite}: in order")
        return
    boarding.evaluate(loaded, Workspace(out), engine, asked)


@app.command(context_settings=TO_BEAM)
def board(
    context: typer.Context,
    suite: BoardSuite = None,
    out: Out = OUT,
    with_audio: WithAudio = False,
    from_mlflow: FromMlflow = None,
    experiment: Experiment = None,
    serve: Serve = None,
    port: Port = 8765,
    tracking: Tracking = None,
    fail_if: FailIf = None,
    since: Since = None,
) -> None:
    """Show and write a board again, from the scores that are there; computes and logs nothing."""
    if sum(given is not None for given in (suite, from_mlflow, serve)) != 1:
        raise RealEarError("board: expected one of SUITE.yaml, --from-mlflow and --serve")
    _engine(context, "local", 1)
    if serve is not None:
        from pipelines import serving

        serving.serve(serve, port)
        return
    from pipelines import boarding, config

    asked = boarding.Asked(with_audio, tracking, tuple(fail_if or ()), since)
    if from_mlflow is not None:
        boarding.from_mlflow(from_mlflow, experiment, Workspace(out), asked)
    else:
        boarding.show(config.load_suite(str(suite)), Workspace(out), asked)


@app.command()
def gc(
    suites: Annotated[list[str], typer.Argument(metavar="SUITE.yaml…", help="All that you keep.")],
    out: Out = OUT,
    remove: Annotated[bool, typer.Option("--remove", help="Remove it, after listing it.")] = False,
) -> None:
    """List what lies in --out and no suite refers to: datasets, predictions, scores, pages."""
    from pipelines import cleaning, config

    cleaning.clean([config.load_suite(path) for path in suites], Workspace(out), remove=remove)


@app.command(context_settings=TO_BEAM)
def prepare(
    context: typer.Context,
    folder: Annotated[str, typer.Argument(help="Folder of recordings, or a manifest.")],
    name: Annotated[str, typer.Option(help="What the dataset is called.")],
    domain: Annotated[str, typer.Option(help="synthetic, simulated or real.")] = "real",
    reader: Annotated[
        str, typer.Option(help="What the folder is: a name of `realear list corpora`.")
    ] = "files",
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="The reader's: split=test-clean. Repeat it.", show_default=False
        ),
    ] = None,
    audio: Annotated[
        str | None, typer.Option(help="File-name pattern, such as {digit}_{speaker}_{take}.wav.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Transcripts: a table (id TAB words), or .txt beside each.")
    ] = None,
    text_label: Annotated[
        str | None, typer.Option(help="The label that is the transcript.")
    ] = None,
    speaker: Annotated[str | None, typer.Option(help="Template, such as {reader}.")] = None,
    clean: Annotated[str | None, typer.Option(help="Template: clean/{stem}.wav.")] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="Template of a source: s1/{stem}.wav. Repeat it.")
    ] = None,
    sample_rate: Annotated[int | None, typer.Option(help="Hz; as recorded by default.")] = None,
    channels: Annotated[str, typer.Option(help="mono (their mean), keep, or one from 0.")] = "mono",
    form: Annotated[
        str,
        typer.Option("--format", help="flac, flac16, flac24, or original: bytes that fit stay."),
    ] = "flac",
    check: Annotated[
        str, typer.Option(help="samples, or headers: originals are not even decoded.")
    ] = "samples",
    shards: Annotated[int | None, typer.Option(help="How many; 16 by default.")] = None,
    shard_clips: Annotated[int | None, typer.Option(help="Or: the most clips in each.")] = None,
    shard_bytes: Annotated[str | None, typer.Option(help="Or: their size, as 500MB.")] = None,
    repack: Annotated[
        bool, typer.Option("--repack", help="Cut anew; else clips stay in their shards.")
    ] = False,
    limit: Annotated[int | None, typer.Option(help="Take so many clips only.")] = None,
    tolerate: Annotated[float, typer.Option(help="Share of clips that may be refused.")] = 0.0,
    out: Out = OUT,
    workers: Workers = 0,
    timeout: Timeout = 0,
    runner: Runner = "local",
) -> None:
    """Recordings in, verified WebDataset shards out, every file accounted for."""
    engine = _engine(context, runner, workers, timeout)
    from pipelines import arguments, make, schema
    from pipelines.config import DatasetConfig, parse_name

    given: dict[str, object] = {
        "audio": audio,
        "speaker": speaker,
        "clean": clean,
        "sources": source,
    }
    given |= {"text": arguments.transcripts(text, text_label)}
    values = {
        "domain": domain,
        "corpus": arguments.corpus(folder, reader, option or [], given),
        "sample_rate": sample_rate,
        "channels": int(channels) if channels.isdigit() else channels,
        "format": form,
        "check": check,
        "shards": shards,
        "shard_clips": shard_clips,
        "shard_bytes": shard_bytes,
        "limit": limit,
        "tolerate": tolerate,
    }
    config = schema.validate(DatasetConfig, values, "prepare")
    made = make.make(parse_name(name), config, Workspace(out), engine, {}, repack=repack)
    _say_made(made)


def _say_made(made: Made) -> None:
    card = made.card
    refused = ", ".join(f"{count} {reason}" for reason, count in card.refused.items())
    progress.console.print(
        f"{card.name}: {card.clips} clips, {card.seconds:.0f} s, {len(card.shards)} shards in "
        f"{made.folder}; refused: {refused or 'none'}",
        soft_wrap=True,
    )
    for note in card.notes:
        progress.console.print(f"  {note}", soft_wrap=True)


@app.command(context_settings=TO_BEAM)
def generate(
    context: typer.Context,
    recipe: RecipeFile = None,
    names: Annotated[list[str] | None, typer.Argument(help="Only these datasets.")] = None,
    plan_only: PlanOnly = False,
    replay: Replay = None,
    out: Out = OUT,
    workers: Workers = 0,
    timeout: Timeout = 0,
    runner: Runner = "local",
) -> None:
    """Make the datasets of a recipe file, all or some with what they need: prepared, generated."""
    # An option's value that Beam takes lands among the names; Beam's own check tells them apart.
    engine = _engine(context, runner, workers, timeout)
    from pipelines import generation

    asked = generation.Asked(recipe, tuple(names or ()), replay, plan_only)
    for made in generation.generate(asked, Workspace(out), engine):
        _say_made(made)


@app.command(context_settings=TO_BEAM)
def predict(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A name of `realear list models`, or module:Class.")],
    dataset: Annotated[str, typer.Argument(help="A prepared dataset: its folder or name.")],
    parameter: Annotated[
        list[str] | None, typer.Option("--set", help="A parameter: name=value. Repeat it.")
    ] = None,
    out: Out = OUT,
    workers: Workers = 0,
    timeout: Timeout = 0,
    runner: Runner = "local",
) -> None:
    """Ask one model about one dataset; one prediction shard for every shard."""
    engine = _engine(context, runner, workers, timeout)
    from pipelines import single

    where = single.predict(model, dataset, parameter or [], Workspace(out), engine)
    progress.console.print(f"Predictions in {where}", soft_wrap=True)


@app.command(context_settings=TO_BEAM)
def tune(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A recogniser: a name of `realear list models`.")],
    dataset: Annotated[str, typer.Option(help="A development set: its folder or name.")],
    parameter: Annotated[
        list[str],
        typer.Option("--set", help="Values to try: lm_weight=0.5,1,1.5. Repeat it for a grid."),
    ],
    metric: Annotated[str, typer.Option(help="Such as wer:normaliser=basic or cer.")] = "wer",
    out: Out = OUT,
    workers: Workers = 0,
    runner: Runner = "local",
) -> None:
    """Find a recogniser's best parameters on a development set; every point tried is kept."""
    engine = _engine(context, runner, workers)
    from pipelines import tune as tuning

    tuning.tune(model, dataset, parameter, Workspace(out), engine, metric=metric)


@app.command()
def train(
    task: Annotated[
        str,
        typer.Argument(
            help="separation, recognition, quality, real-m, clap, classification, piq or l2i."
        ),
    ],
    on: Annotated[str, typer.Option(help="The dataset to learn from: its folder or name.")],
    held_out: Annotated[str, typer.Option(help="Another one, to tell when it is learnt.")],
    to: Annotated[str, typer.Option(help="The folder to write the model to.")],
    test: Annotated[
        list[str] | None,
        typer.Option(help="A dataset that the card tells its results on. Repeat it."),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--set", help="Such as steps=2000 or learning_rate=1e-3. Repeat it."),
    ] = None,
    out: Out = OUT,
) -> None:
    """Train a small model of our own on shards; the same command goes on where it was stopped."""
    from pipelines import arguments, training

    workspace = Workspace(out)
    learnt, watched, *tests = (
        arguments.find(name, workspace) for name in (on, held_out, *(test or []))
    )
    given = arguments.words(parameter or [], "--set")
    store = f"sqlite:///{Path(workspace.database).absolute()}"
    card = training.train(task, learnt, watched, to, given, tests=tests, tracking=store)
    progress.console.print(training.said(card, to), soft_wrap=True)


@app.command(context_settings=TO_BEAM)
def score(
    context: typer.Context,
    dataset: Annotated[str, typer.Option(help="A prepared dataset: its folder or name.")],
    predictions: Annotated[
        str | None, typer.Option(help="Somebody's predictions: a folder, or key,text as .csv.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What to call whose predictions these are.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Or a model: asked first if need be.")] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--set", help="Of the model: name=value. Repeat it.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="If the files do not tell it.")] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Such as wer or wer:normaliser=basic. Repeat it.")
    ] = None,
    tolerate: Annotated[float, typer.Option(help="Share of clips that may fail.")] = 0.0,
    out: Out = OUT,
    workers: Workers = 0,
    timeout: Timeout = 0,
    runner: Runner = "local",
) -> None:
    """Score predictions, yours or a model's, against a dataset; every clip is accounted for."""
    engine = _engine(context, runner, workers, timeout)
    from pipelines import single

    if (predictions is None) == (model is None):
        raise RealEarError("score: expected one of --predictions and --model")
    asked = single.Scored(dataset, task, tuple(metric or ()), tolerate)
    if predictions is not None:
        single.score_submission(asked, predictions, name, Workspace(out), engine)
    else:
        single.score_model(asked, str(model), parameter or [], Workspace(out), engine)


@app.command(context_settings=TO_BEAM)
def verify(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help="A prepared dataset: its folder or name.")],
    against: Annotated[
        str | None, typer.Option(help="Another dataset: which clips sound the same in both?")
    ] = None,
    out: Out = OUT,
    workers: Workers = 0,
    runner: Runner = "local",
) -> None:
    """Compare every byte of a dataset with its index, sidecars and card; decode every clip."""
    engine = _engine(context, runner, workers)
    from pipelines import reports

    reports.verify(dataset, against, Workspace(out), engine)


@app.command()
def describe(
    dataset: Annotated[str, typer.Argument(help="A prepared dataset: its folder or name.")],
    out: Out = OUT,
    with_audio: WithAudio = False,
) -> None:
    """What a dataset holds: hours, speakers, levels, labels; as text and as a page to listen to."""
    from pipelines import describe as description

    page = description.describe(dataset, Workspace(out), with_audio=with_audio)
    progress.console.print(f"Page    {Path(page).absolute()}", soft_wrap=True)


@app.command("list")
def list_(
    kind: Annotated[
        str, typer.Argument(help="models, metrics, tasks, corpora, recipes or datasets.")
    ] = "all",
    out: Out = OUT,
) -> None:
    """What there is by name: models, metrics, tasks, corpus readers, recipes, your datasets."""
    from pipelines import catalogue

    catalogue.show(kind, Workspace(out))


@app.command()
def doctor(fetch: Fetch = None, line: Line = "", beam: BeamVersion = "") -> None:
    """What is installed, which device, which runners, what is missing and how to get it."""
    from pipelines import doctor as check

    if fetch is not None:
        check.fetch(fetch, line, beam)
    elif not check.show():
        raise typer.Exit(2)


@app.command()
def cluster(
    slots: Annotated[int, typer.Option(min=0, help="Of the task manager; 0: none.")] = 2,
    port: Annotated[int, typer.Option(help="Of Flink's web page, where jobs go.")] = 8081,
    host: Annotated[
        str, typer.Option(help="This host's address, as others know it.")
    ] = "127.0.0.1",
    join: Annotated[
        str, typer.Option(metavar="HOST:6123", help="Only a task manager, of this job manager.")
    ] = "",
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Of Flink's: heartbeat.timeout=8000.")
    ] = None,
) -> None:
    """A Flink session cluster on this machine, or a task manager of another's, until Ctrl-C."""
    from pipelines import arguments, flink

    words = {name: str(value) for name, value in arguments.words(setting or [], "--set").items()}
    flink.run(flink.Cluster(slots, host, port, join=join, settings=words))


@app.command()
def workers(
    port: Annotated[int, typer.Option(help="Where an engine asks for workers.")] = 50000,
    host: Annotated[str, typer.Option(help="Who may ask: 0.0.0.0 for other hosts.")] = "127.0.0.1",
) -> None:
    """A pool of worker processes for an engine's task manager on this host, until Ctrl-C."""
    from pipelines import pool

    with pool.serving(host, port) as served:
        progress.console.print(f"Workers at {served.address}; Ctrl-C ends them", soft_wrap=True)
        served.wait()


INTERRUPTED = 130  # exit code by convention: 128 + SIGINT
CODES: dict[type[RealEarError], int] = {ToleranceExceeded: 3, LostWork: 4, GateFired: 5}


def main() -> None:
    """Run the command; mistakes end in one clear message, not in a traceback."""
    # What a command leaves goes with its process: to look through it for garbage takes 0.4 s.
    atexit.register(freeze)
    warnings.filterwarnings("ignore")  # libraries' notes to their own developers
    logging.basicConfig(level=logging.ERROR)
    # Beam logs what a worker raises, and raises it, too: once is enough.
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    try:
        engines.check_packages()
        app(prog_name="realear")
    except SystemExit as end:
        # What typer makes of Ctrl-C, while a command runs or at a prompt.
        if end.code == INTERRUPTED or isinstance(end.__context__, typer.Abort):
            _interrupted()
        raise
    except RealEarError as error:
        _stop(str(error), next((c for kind, c in CODES.items() if isinstance(error, kind)), 2))
    except OSError as error:
        if not (words := stores.refusal(error)):
            raise
        _stop(f"{error.filename or 'the disk'} cannot be written: {words}", 2)


def _interrupted() -> NoReturn:
    _stop("interrupted: finished shards are kept, the same command goes on from there", INTERRUPTED)


def _stop(message: str, code: int) -> NoReturn:
    progress.console.print(f"[bold red]realear:[/bold red] {escape(message)}", soft_wrap=True)
    sys.stderr.flush()
    # Not sys.exit: Beam's threads may still wait for workers that are going down with us.
    os._exit(code)


if __name__ == "__main__":
    main()
