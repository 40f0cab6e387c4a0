"""Tasks: where models and metrics meet.

A task says what a model reads from a sample, which method is called, what is written, and which
metrics apply. To add one: a module in this folder, a line in TASKS, a test.
"""

from __future__ import annotations

import importlib

from pipelines.records import RealEarError
from pipelines.schema import nearest
from pipelines.tasks.base import Task

TASKS = {
    "classification": "pipelines.tasks.classification:Classification",
    "embedding": "pipelines.tasks.embedding:Embedding",
    "enhancement": "pipelines.tasks.enhancement:Enhancement",
    "explanation": "pipelines.tasks.explanation:Explanation",
    "quality": "pipelines.tasks.quality:Quality",
    "recognition": "pipelines.tasks.recognition:Recognition",
    "retrieval": "pipelines.tasks.retrieval:Retrieval",
    "separation": "pipelines.tasks.separation:Separation",
    "zero-shot": "pipelines.tasks.zero_shot:ZeroShot",
}


def get(name: str) -> Task:
    """The task of that name; RealEarError with the nearest names where there is none."""
    if name not in TASKS:
        raise RealEarError(f"unknown task {name!r}: {nearest(name, TASKS)}")
    module, _, attribute = TASKS[name].partition(":")
    task: Task = getattr(importlib.import_module(module), attribute)()
    return task
