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
    "oracle-ibm": ModelEntry(
        "models.oracles:IdealBinaryMask",
        "oracle: ideal binary mask, every bin to its strongest source",
        source="Wang 2005",
    ),
    "oracle-irm": ModelEntry(
        "models.oracles:IdealRatioMask",
        "oracle: ideal ratio mask from the true sources",
        source="Luo & Mesgarani 2019",
    ),
    "oracle-wiener": ModelEntry(
        "models.oracles:IdealRatioMask",
        "oracle: Wiener-like mask, shares of power",
        {"exponent": 2},
        source="Luo & Mesgarani 2019",
    ),
    "fastica": ModelEntry(
        "models.arrays:FastICA",
        "independent component analysis of an array's channels, for mixtures without delays",
        source="Hyvärinen 1999, by scikit-learn",
        licence="BSD-3-Clause",
    ),
    "auxiva": ModelEntry(
        "models.arrays:AuxIVA",
        "independent vector analysis of an array's channels, for rooms",
        source="Ono 2011, by pyroomacoustics",
        licence="MIT",
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
    "small-conv-tasnet": ModelEntry(
        "models.own:TrainedSeparator",
        "a small Conv-TasNet for two talkers, trained on espeak-ng's voices, comes with RealEar",
        {"checkpoint": "pairs-8k"},
        source="Luo & Mesgarani 2019; examples/training/pairs.yaml",
        licence="Apache-2.0",
    ),
    "trained-separator": ModelEntry(
        "models.own:TrainedSeparator",
        "a Conv-TasNet that `realear train separation` made",
        source="Luo & Mesgarani 2019, by torchaudio",
        licence="yours",
        needs="a checkpoint",
    ),
    "trained-recogniser": ModelEntry(
        "models.own:TrainedRecogniser",
        "a Deep Speech that `realear train recognition` made",
        source="Hannun et al. 2014, by torchaudio",
        licence="yours",
        needs="a checkpoint",
    ),
    "small-clap": ModelEntry(
        "models.own:TrainedClap",
        "a small CLAP of made sounds and spoken digits, comes with RealEar",
        {"checkpoint": "sounds-and-digits"},
        source="Elizalde et al. 2023, in small; examples/training/clap.yaml",
    ),
    "trained-clap": ModelEntry(
        "models.own:TrainedClap",
        "a small CLAP that `realear train clap` made: sounds and words in one space",
        source="Elizalde et al. 2023, in small",
        licence="yours",
        needs="a checkpoint",
    ),
    "oracle-ibm-enhancement": ModelEntry(
        "models.oracles:SpeechMask",
        "oracle: ideal binary mask from the clean speech",
        {"mask": "binary"},
        source="Wang 2005",
    ),
    "oracle-irm-enhancement": ModelEntry(
        "models.oracles:SpeechMask",
        "oracle: ideal ratio mask from the clean speech",
        {"mask": "ratio"},
        source="Wang, Narayanan & Wang 2014",
    ),
    "oracle-wiener-enhancement": ModelEntry(
        "models.oracles:SpeechMask",
        "oracle: Wiener gains from the clean speech",
        {"mask": "wiener"},
        source="Loizou 2013",
    ),
}
