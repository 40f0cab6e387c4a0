"""Models of the transformers library."""

from models.entries import ModelEntry

ENTRIES: dict[str, ModelEntry] = {}
