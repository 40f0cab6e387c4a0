"""Models of speechbrain."""

from models.entries import ModelEntry

ENTRIES: dict[str, ModelEntry] = {}
