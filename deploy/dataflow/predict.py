"""The pipeline of the Flex template: one model asked about one prepared dataset, in one job.

A template is one job, which its launcher hands in and does not wait for. `realear predict` with the
same words finds the answers afterwards, checks that none is missing, and adds what it writes last.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from pipelines import arguments, engines, predict, single, transforms
from pipelines.workspace import Workspace


def main(words: Sequence[str] | None = None) -> None:
    """Build the job and hand it in; what this parser does not know is Beam's."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--model", required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--parameters", type=json.loads, default={})
    parser.add_argument("--runner", default="DataflowRunner")
    asked, rest = parser.parse_known_args(words)
    engine = engines.engine(asked.runner, arguments=rest)
    workspace = Workspace(asked.out)
    made = arguments.find(asked.dataset, workspace)
    model = single.model_by_name(asked.model, asked.parameters)
    parts = predict.plan(workspace, made.card, model, dataset=made.folder)
    transforms.submit(f"Predict {model.model}", parts, model, engine)


if __name__ == "__main__":
    main()
