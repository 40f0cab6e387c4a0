"""Parts of a checkpoint, read by the transformers library: no network, no code of others, quiet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.neural import require

UNUSED = ("masked_spec_embed",)  # trained with, never computed with; many checkpoints leave it out


def part(folder: Path, kind: str, **options: Any) -> Any:
    """`transformers.<kind>` from a checkpoint's folder, such as "AutoTokenizer".

    Code that comes with a checkpoint is never run. ValueError where the library cannot read it.
    """
    library = require("transformers", "transformers")
    library.utils.logging.disable_progress_bar()
    library.utils.logging.set_verbosity_error()
    known = {"local_files_only": True, "trust_remote_code": False}
    try:
        return getattr(library, kind).from_pretrained(str(folder), **known, **options)
    except Exception as error:  # each file's format has its own family of them
        text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ValueError(
            f"{folder}: expected a checkpoint that transformers.{kind} reads, found {text}"
        ) from error


def network(folder: Path, kind: str) -> Any:
    """A network with all its weights, float32, on the CPU.

    ValueError where the checkpoint leaves some out: the library would draw them at random.
    """
    import torch

    found, read = part(folder, kind, output_loading_info=True, dtype=torch.float32)
    missing = sorted(key for key in read["missing_keys"] if not key.endswith(UNUSED))
    if missing:
        raise ValueError(
            f"{folder}: expected weights for all of {type(found).__name__}, found none for "
            f"{', '.join(missing[:3])}{' …' if missing[3:] else ''}: "
            "choose a checkpoint that was trained for this task"
        )
    return found
