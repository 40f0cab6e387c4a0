"""The judge that comes with RealEar, trained again.

    realear generate examples/training/quality.yaml quality-training quality-heldout --out WORK
    python examples/training/blind_weights.py WORK models/blind-8k

It learns as `realear train quality` has it, from sounds that are decoded once and stay in memory;
its folder is like any that the command writes. What was trained is kept in WORK/experiments.
"""

from __future__ import annotations

import argparse
from importlib import metadata
from pathlib import Path
from typing import Any

from blind_data import RATE, read
from blind_experiments import BATCH, CROP, OURS, RATE_OF_LEARNING, learnt
from safetensors.torch import save

from models.training import quality
from pipelines import stores
from pipelines.make import Made
from pipelines.quality_training import calibrated
from pipelines.shards.datasets import read_card

STEPS = 7_000
LIBRARIES = ("numpy", "torch")


def module() -> quality.QualityTraining:
    """Ours, somewhat wider than it has to be for experiments."""
    return quality.QualityTraining(RATE, dict(OURS), RATE_OF_LEARNING, STEPS)


def named(made: Made) -> dict[str, Any]:
    """What a dataset is, by its digest."""
    card = made.card
    hours = round(card.seconds / 3600, 3)
    return {"name": card.name, "content": card.content, "clips": card.clips, "hours": hours}


def main() -> None:
    """Train, or take what was trained before; calibrate; write the folder, its card last."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("work", type=Path, help="where quality.yaml was generated to")
    parser.add_argument("to", type=Path, help="the folder to write")
    asked = parser.parse_args()
    folders = [asked.work / "datasets" / name for name in ("quality-training", "quality-heldout")]
    training, held_out = (Made(read_card(str(one)), str(one)) for one in folders)
    data = read(folders[0], asked.work / "experiments")
    network = learnt("spectral-8k", data, asked.work, module, STEPS)
    config = {"architecture": "Spectral", "sample_rate": RATE, "network": OURS}
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    stores.write_bytes(f"{asked.to}/model.safetensors", save(weights))
    stores.write_json(f"{asked.to}/config.json", config)
    card = {
        "task": "quality",
        "settings": {
            "batch": BATCH,
            "seconds": CROP,
            "steps": STEPS,
            "learning_rate": RATE_OF_LEARNING,
            "network": OURS,
        },
        "data": {"learnt": named(training), "held_out": named(held_out)},
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "calibration": calibrated(asked.to, training, held_out),
    }
    stores.write_json(f"{asked.to}/card.json", card)
    print(f"{asked.to}: {sum(value.numel() for value in weights.values()):,} numbers")


if __name__ == "__main__":
    main()
