"""Separators to learn judging from, and the models that judge separators without the truth."""

from models.entries import ModelEntry

MADE_FOR = "to learn judging from: "

ENTRIES: dict[str, ModelEntry] = {
    "leaky-ratio-mask": ModelEntry(
        "models.degraded:LeakyMask", f"{MADE_FOR}oracle, ideal ratio masks that leak"
    ),
    "leaky-binary-mask": ModelEntry(
        "models.degraded:LeakyMask",
        f"{MADE_FOR}oracle, ideal binary masks that leak",
        {"mask": "binary"},
    ),
    "crosstalk": ModelEntry(
        "models.degraded:Crosstalk", f"{MADE_FOR}oracle, the truth with the others faintly in it"
    ),
    "spoilt": ModelEntry(
        "models.degraded:Spoilt", f"{MADE_FOR}oracle, the truth clipped, coarse, interrupted…"
    ),
    "gated-mixture": ModelEntry(
        "models.degraded:Enhanced",
        f"{MADE_FOR}an enhancer's output and what it took away",
        source="noisereduce",
        licence="MIT",
    ),
    "rough-conv-tasnet": ModelEntry(
        "models.degraded:RoughSeparator",
        f"{MADE_FOR}small-conv-tasnet with noise on its weights",
        {"checkpoint": "pairs-8k"},
        source="Luo & Mesgarani 2019; examples/training/pairs.yaml",
    ),
    "blind-si-snr": ModelEntry(
        "models.blind:BlindEstimator",
        "guesses the SI-SNR of any separator's estimates, 8 kHz, comes with RealEar",
        {"checkpoint": "blind-8k"},
        source="examples/training/quality.yaml",
    ),
    "trained-quality": ModelEntry(
        "models.blind:BlindEstimator",
        "guesses the SI-SNR of estimates: what `realear train quality` made",
        licence="yours",
        needs="a checkpoint",
    ),
    "real-m-network": ModelEntry(
        "models.blind:PublishedEstimator",
        "guesses the SI-SNR of estimates: REAL-M's network, trained here, 8 kHz, 0 to 10 dB",
        {"checkpoint": "real-m-8k"},
        source="Subakan et al. 2021, REAL-M, arXiv 2110.10812; examples/training/quality.yaml",
    ),
}
