"""Explainers that need no training, and classifiers by words that can be explained."""

from models.entries import ModelEntry

CHANCE = "models.explainers"
BY = "models.attribution"


def _by(cls: str, summary: str, source: str, extra: str = "explain") -> ModelEntry:
    return ModelEntry(f"{BY}:{cls}", summary, source=source, extra=extra)


ENTRIES: dict[str, ModelEntry] = {
    "zero-shot-head": ModelEntry(
        "models.heads:ZeroShotHead",
        "any CLAP as a classifier of classes that you name, which can be explained",
        {"model": "small-clap", "classes": ["siren", "rain", "church bells", "engine", "wind"]},
    ),
    "random-mask": ModelEntry(
        f"{CHANCE}:RandomMask", "chance: cells drawn at random, as many as another explainer keeps"
    ),
    "random-blocks": ModelEntry(
        f"{CHANCE}:RandomMask",
        "chance: blocks of the spectrogram drawn at random",
        {"seconds": 0.25, "hertz": 1000.0},
    ),
    "energy-mask": ModelEntry(
        f"{CHANCE}:EnergyMask", "chance: the loudest cells, as many as another explainer keeps"
    ),
    "oracle-mask": ModelEntry(
        f"{CHANCE}:OracleMask", "oracle: what the true source of a mixture has of every cell"
    ),
    "saliency": _by(
        "Saliency", "gradient of the class by every cell", "captum; Simonyan et al. 2014"
    ),
    "integrated-gradients": _by(
        "IntegratedGradients",
        "gradients from silence to the clip, summed",
        "captum; Sundararajan et al. 2017",
    ),
    "occlusion": _by(
        "Occlusion", "what silencing a window costs; any classifier", "captum; Zeiler & Fergus 2014"
    ),
    "grad-cam": _by(
        "GradCAM", "where the last layer speaks for the class", "Selvaraju et al. 2017", ""
    ),
    "lime": _by(
        "Lime",
        "a linear model over segments; any classifier",
        "Ribeiro et al. 2016; Mishra et al. 2017 (SLIME)",
        "",
    ),
}
