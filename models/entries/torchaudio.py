"""Models of torchaudio: architectures and bundles."""

from models.entries import ModelEntry

ENTRIES: dict[str, ModelEntry] = {}
