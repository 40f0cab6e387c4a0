"""Models of torchaudio: architectures and bundles."""

from models.entries import ModelEntry

CHECKPOINT = "a checkpoint"
RECOGNITION = "models.adapters.torchaudio_recognition"
SEPARATION = "models.adapters.torchaudio_separation"
TRANSDUCER = "models.adapters.torchaudio_transducer:EmformerTransducer"
SQUIM = "models.adapters.torchaudio_quality:SquimObjective"


def _bundle(
    cls: str, bundle: str, summary: str, source: str, licence: str, extra: str = ""
) -> ModelEntry:
    return ModelEntry(cls, summary, {"bundle": bundle}, source, licence, extra, needs=bundle)


def _own(cls: str, summary: str, source: str, extra: str = "") -> ModelEntry:
    return ModelEntry(cls, summary, source=source, licence="unknown", extra=extra, needs=CHECKPOINT)


def _ctc(bundle: str, heard: str, source: str, licence: str = "MIT") -> ModelEntry:
    return _bundle(f"{RECOGNITION}:Wav2Vec2", bundle, f"CTC letters, {heard}", source, licence)


WAV2VEC2 = "wav2vec 2.0: Baevski et al. 2020"
HUBERT = "HuBERT: Hsu et al. 2021"
VOXPOPULI = "VoxPopuli: Wang et al. 2021"

SIZES = {"base": "base", "large": "large", "large-lv60k": "large, pretrained on Libri-Light"}
HOURS = {"10m": "10 minutes", "100h": "100 hours", "960h": "960 hours"}
LANGUAGES = {"de": "German", "en": "English", "es": "Spanish", "fr": "French", "it": "Italian"}


def _wav2vec2() -> dict[str, ModelEntry]:
    """Every size, fine-tuned on every amount of LibriSpeech or Libri-Light."""
    return {
        f"torchaudio-wav2vec2-{size}-{hours}": _ctc(
            f"WAV2VEC2_ASR_{size}_{hours}".upper().replace("-", "_"),
            f"{spoken_size}; English, {spoken_hours} of readings",
            WAV2VEC2,
        )
        for size, spoken_size in SIZES.items()
        for hours, spoken_hours in HOURS.items()
    }


def _voxpopuli() -> dict[str, ModelEntry]:
    return {
        f"torchaudio-voxpopuli-{code}": _ctc(
            f"VOXPOPULI_ASR_BASE_10K_{code.upper()}",
            f"base; {language}, speeches in parliament",
            VOXPOPULI,
            "CC-BY-NC-4.0",
        )
        for code, language in LANGUAGES.items()
    }


ENTRIES: dict[str, ModelEntry] = {
    **_wav2vec2(),
    "torchaudio-hubert-large": _ctc(
        "HUBERT_ASR_LARGE", "large; English, 960 hours of readings", HUBERT
    ),
    "torchaudio-hubert-xlarge": _ctc(
        "HUBERT_ASR_XLARGE", "extra large; English, 960 hours of readings", HUBERT
    ),
    **_voxpopuli(),
    "torchaudio-emformer-rnnt": _bundle(
        TRANSDUCER,
        "EMFORMER_RNNT_BASE_LIBRISPEECH",
        "streaming transducer, word pieces; English, 960 hours of readings",
        "Emformer: Shi et al. 2021",
        "unknown",
        "transducers",
    ),
    "torchaudio-conv-tasnet-libri2mix": _bundle(
        f"{SEPARATION}:ConvTasNet",
        "CONVTASNET_BASE_LIBRI2MIX",
        "Conv-TasNet for two talkers at 8 kHz",
        "Luo & Mesgarani 2019",
        "unknown",
    ),
    "torchaudio-hdemucs-musdb": _bundle(
        f"{SEPARATION}:HybridDemucs",
        "HDEMUCS_HIGH_MUSDB",
        "Hybrid Demucs: drums, bass, other and vocals at 44.1 kHz",
        "Défossez 2021",
        "unknown",
    ),
    "torchaudio-hdemucs-musdb-plus": _bundle(
        f"{SEPARATION}:HybridDemucs",
        "HDEMUCS_HIGH_MUSDB_PLUS",
        "the same, trained on MUSDB's test songs and 150 others, too",
        "Défossez 2021",
        "unknown",
    ),
    "torchaudio-squim-objective": _bundle(
        SQUIM,
        "SQUIM_OBJECTIVE",
        "guesses STOI, PESQ and SI-SDR without a reference",
        "Kumar et al. 2023",
        "CC-BY-4.0",
    ),
    "torchaudio-wav2vec2": _own(
        f"{RECOGNITION}:Wav2Vec2", "wav2vec 2.0, HuBERT or WavLM of your own, by CTC", WAV2VEC2
    ),
    "torchaudio-deepspeech": _own(
        f"{RECOGNITION}:DeepSpeech", "Deep Speech of your own, by CTC", "Hannun et al. 2014"
    ),
    "torchaudio-wav2letter": _own(
        f"{RECOGNITION}:Wav2Letter", "Wav2Letter of your own, by CTC", "Collobert et al. 2016"
    ),
    "torchaudio-emformer": _own(
        TRANSDUCER, "Emformer transducer of your own", "Emformer: Shi et al. 2021", "transducers"
    ),
    "torchaudio-conv-tasnet": _own(
        f"{SEPARATION}:ConvTasNet", "Conv-TasNet of your own", "Luo & Mesgarani 2019"
    ),
    "torchaudio-hdemucs": _own(
        f"{SEPARATION}:HybridDemucs", "Hybrid Demucs of your own", "Défossez 2021"
    ),
    "torchaudio-squim": _own(SQUIM, "SQUIM of your own", "Kumar et al. 2023"),
}
