"""Classifiers of sounds of our own, and what is learnt to explain them."""

from models.entries import ModelEntry

ENTRIES: dict[str, ModelEntry] = {
    "sound-cnn": ModelEntry(
        "models.own:TrainedClassifier",
        "a small CNN: 29 made sounds and the ten spoken digits, comes with RealEar",
        {"checkpoint": "classes-16k"},
        source="Kong et al. 2020, PANNs, in small",
    ),
    "trained-classifier": ModelEntry(
        "models.own:TrainedClassifier",
        "a small CNN that `realear train classification` made",
        source="Kong et al. 2020, PANNs, in small",
        licence="yours",
        needs="a checkpoint",
    ),
    "piq": ModelEntry(
        "models.interpreters:TrainedPiq",
        "explains sound-cnn by words of a codebook of each class, refined; comes with RealEar",
        {"checkpoint": "piq-16k"},
        source="Paissan et al. 2023, PIQ, arXiv 2303.12659, in small",
    ),
    "l2i": ModelEntry(
        "models.interpreters:TrainedL2i",
        "explains sound-cnn by components of an NMF, refined; comes with RealEar",
        {"checkpoint": "l2i-16k"},
        source="Parekh et al. 2022, L2I, arXiv 2202.11479, in small",
    ),
    "trained-piq": ModelEntry(
        "models.interpreters:TrainedPiq",
        "PIQ that `realear train piq` made for a classifier of `realear train classification`",
        source="Paissan et al. 2023, arXiv 2303.12659, in small",
        licence="yours",
        needs="a checkpoint",
    ),
    "trained-l2i": ModelEntry(
        "models.interpreters:TrainedL2i",
        "L2I that `realear train l2i` made for a classifier of `realear train classification`",
        source="Parekh et al. 2022, arXiv 2202.11479, in small",
        licence="yours",
        needs="a checkpoint",
    ),
}
