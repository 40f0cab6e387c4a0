"""Options that several commands share, with their words of help."""

from __future__ import annotations

from typing import Annotated

import typer

Out = Annotated[str, typer.Option("--out", help="Folder for everything that is made.")]
Workers = Annotated[int, typer.Option("--workers", min=0, help="Local processes; 0: one a core.")]
Timeout = Annotated[
    float,
    typer.Option("--timeout", min=0, help="End when a clip takes so many seconds; 0: never."),
]
Runner = Annotated[str, typer.Option("--runner", help="local, or a Beam runner's name.")]
WithAudio = Annotated[
    bool, typer.Option("--with-audio", help="Put clips into the page whatever their card says.")
]
SuiteFile = Annotated[str, typer.Argument(metavar="SUITE.yaml", help="The suite.")]
Tracking = Annotated[
    str | None, typer.Option(metavar="URI", help="MLflow's; none: log nothing.", show_default=False)
]
FailIf = Annotated[
    list[str] | None,
    typer.Option(metavar="GATE", help="End with 5 if so: 'gap.wer > 0.05'. Repeat it."),
]
Since = Annotated[
    str | None, typer.Option(metavar="RUN", help="Compare with a run of MLflow's, or `last`.")
]
BoardSuite = Annotated[
    str | None, typer.Argument(metavar="SUITE.yaml", help="The suite, for its scores in --out.")
]
FromMlflow = Annotated[
    str | None, typer.Option(metavar="URI", help="Build it from a tracking store alone.")
]
Experiment = Annotated[
    str | None, typer.Option(help="Of --from-mlflow: the suite's name, if it has several.")
]
Serve = Annotated[
    str | None, typer.Option(metavar="FOLDER", help="Serve a folder of boards: realear/site.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Of --serve; 0: any that is free.")]
PlanOnly = Annotated[bool, typer.Option("--plan-only", help="Decide every clip, render none.")]
Replay = Annotated[str | None, typer.Option(metavar="PLAN.parquet", help="Make these clips again.")]
RecipeFile = Annotated[str | None, typer.Argument(metavar="RECIPE.yaml", help="Or a suite.")]
Fetch = Annotated[
    str | None,
    typer.Option(metavar="ENGINE", help="Get what flink or spark needs, into ~/.cache/realear."),
]
Line = Annotated[str, typer.Option(help="Of --fetch: the engine's release line, such as 1.19.")]
BeamVersion = Annotated[
    str, typer.Option("--beam", help="Of --fetch: a job server of another Beam than the installed.")
]
