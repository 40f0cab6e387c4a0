"""The models that have a name: a table a library, `ENTRIES` in each module here, one line a model.

A line costs no import of the library: the class is imported when the model is first asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ModelEntry:
    """A line of the registry."""

    cls: str
    """"module:Class"."""
    summary: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Where this entry departs from the class's defaults; a caller's parameters go before these."""
    source: str = "RealEar"
    """Where the method or the weights come from: a paper, a library, a page."""
    licence: str = "Apache-2.0"
    """Of the weights, or of the code where there are none; "unknown" where nobody says."""
    extra: str = ""
    """What to install besides: `pip install 'realear[extra]'`."""
    needs: str = ""
    """What has to be fetched or given first, such as "openai/whisper-tiny" or "a checkpoint"."""
