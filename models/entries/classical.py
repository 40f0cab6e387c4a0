"""Models that come with a library, or need no weights at all."""

from models.entries import ModelEntry

NARROW_BEAM = {"beam": 1e-40, "phone_beam": 1e-40, "word_beam": 1e-22, "max_hmms_per_frame": 300}

ENTRIES: dict[str, ModelEntry] = {
    "pocketsphinx": ModelEntry(
        "models.recognition:PocketSphinx",
        "US English recogniser, the library's own beams",
        source="CMU PocketSphinx, GMM-HMM",
        licence="BSD-2-Clause",
    ),
    "pocketsphinx-narrow": ModelEntry(
        "models.recognition:PocketSphinx",
        "the same with a narrow beam: three times as fast, more errors",
        NARROW_BEAM,
        source="CMU PocketSphinx, GMM-HMM",
        licence="BSD-2-Clause",
    ),
    "mixture": ModelEntry(
        "models.separation:Mixture", "baseline: the mixture itself as every estimate"
    ),
    "nmf": ModelEntry(
        "models.separation:BlindNMF",
        "blind non-negative matrix factorisation, Wiener masks",
        source="Lee & Seung 2001, by scikit-learn",
        licence="BSD-3-Clause",
    ),
    "oracle-irm": ModelEntry(
        "models.separation:IdealRatioMask", "oracle: ideal ratio mask from the true sources"
    ),
    "noisy": ModelEntry("models.enhancement:Noisy", "baseline: the noisy signal as it is"),
    "wiener": ModelEntry(
        "models.enhancement:WienerFilter",
        "decision-directed Wiener filter, tracked noise floor",
        source="Ephraim & Malah 1984",
    ),
    "spectral-gating": ModelEntry(
        "models.enhancement:SpectralGating",
        "spectral gating by the noisereduce library",
        source="noisereduce",
        licence="MIT",
    ),
}
