"""Models of the transformers library that classify or embed: what `realear list models` says of
them. Transcribers are in `models.entries.transformers`.
"""

from collections.abc import Callable

from models.entries import ModelEntry

CLASSIFIER = "models.adapters.audio_classification:AudioClassifier"
CLAP = "models.adapters.clap:CLAP"
FEATURES = "models.adapters.features:SpeechFeatures"
SPEAKERS = "models.adapters.features:SpeakerVectors"


def _any(cls: str, summary: str) -> ModelEntry:
    """The line of a checkpoint of one's own."""
    return ModelEntry(
        cls,
        summary,
        source="the transformers library",
        licence="unknown",
        extra="transformers",
        needs="a checkpoint",
    )


def _of(cls: str, source: str, licence: str = "Apache-2.0") -> Callable[[str, str], ModelEntry]:
    """Lines of one class, from a repository of the hub and what it is."""
    return lambda checkpoint, summary: ModelEntry(
        cls,
        summary,
        {"checkpoint": checkpoint},
        source=source,
        licence=licence,
        extra="transformers",
        needs=checkpoint,
    )


_ast = _of(CLASSIFIER, "Gong et al. 2021", "BSD-3-Clause")
_superb = _of(CLASSIFIER, "Yang et al. 2021, SUPERB")
_mms = _of(CLASSIFIER, "Pratap et al. 2023, MMS", "CC-BY-NC-4.0")
_clap = _of(CLAP, "Wu, Chen, Zhang et al. 2023")
_wav2vec2 = _of(FEATURES, "Baevski et al. 2020")
_xlsr = _of(FEATURES, "Conneau et al. 2020")
_xls_r = _of(FEATURES, "Babu et al. 2021")
_hubert = _of(FEATURES, "Hsu et al. 2021")
_wavlm = _of(FEATURES, "Chen et al. 2022", "CC-BY-SA-3.0")
_speakers = _of(SPEAKERS, "Chen et al. 2022", "CC-BY-SA-3.0")

ENTRIES: dict[str, ModelEntry] = {
    "ast-audioset": _ast("MIT/ast-finetuned-audioset-10-10-0.4593", "AST, 527 classes of AudioSet"),
    "ast-speech-commands": _ast(
        "MIT/ast-finetuned-speech-commands-v2", "AST, 35 words of Speech Commands v2"
    ),
    "wav2vec2-superb-ks": _superb(
        "superb/wav2vec2-base-superb-ks", "wav2vec 2.0 Base, ten commands, unknown and silence"
    ),
    "hubert-superb-ks": _superb(
        "superb/hubert-base-superb-ks", "HuBERT Base, ten commands, unknown and silence"
    ),
    "wav2vec2-superb-er": _superb(
        "superb/wav2vec2-base-superb-er", "wav2vec 2.0 Base, four emotions of IEMOCAP"
    ),
    "hubert-superb-er": _superb(
        "superb/hubert-base-superb-er", "HuBERT Base, four emotions of IEMOCAP"
    ),
    "hubert-large-superb-er": _superb(
        "superb/hubert-large-superb-er", "HuBERT Large, four emotions of IEMOCAP"
    ),
    "mms-lid-126": _mms("facebook/mms-lid-126", "wav2vec 2.0 of 1 B weights, 126 languages"),
    "clap-htsat-unfused": _clap("laion/clap-htsat-unfused", "CLAP, sounds and words, 630k pairs"),
    "clap-htsat-fused": _clap(
        "laion/clap-htsat-fused", "the same, trained with fusion of long clips (not used here)"
    ),
    "larger-clap-general": _clap(
        "laion/larger_clap_general", "a larger CLAP for sounds, music and speech"
    ),
    "larger-clap-music-and-speech": _clap(
        "laion/larger_clap_music_and_speech", "a larger CLAP for music and speech"
    ),
    "wav2vec2-base": _wav2vec2("facebook/wav2vec2-base", "features: 95 M weights, LibriSpeech"),
    "wav2vec2-xlsr-53": _xlsr(
        "facebook/wav2vec2-large-xlsr-53", "features: 315 M weights, 53 languages"
    ),
    "wav2vec2-xls-r-300m": _xls_r(
        "facebook/wav2vec2-xls-r-300m", "features: 315 M weights, 128 languages"
    ),
    "hubert-base": _hubert("facebook/hubert-base-ls960", "features: 95 M weights, LibriSpeech"),
    "hubert-large": _hubert("facebook/hubert-large-ll60k", "features: 316 M weights, Libri-Light"),
    "wavlm-base": _wavlm("microsoft/wavlm-base", "features: 94 M weights, LibriSpeech"),
    "wavlm-base-plus": _wavlm("microsoft/wavlm-base-plus", "features: 94 M weights, 94,000 h"),
    "wavlm-large": _wavlm("microsoft/wavlm-large", "features: 315 M weights, 94,000 h"),
    "wavlm-base-sv": _speakers("microsoft/wavlm-base-sv", "x-vectors of speakers, VoxCeleb1"),
    "wavlm-base-plus-sv": _speakers(
        "microsoft/wavlm-base-plus-sv", "x-vectors of speakers, VoxCeleb1"
    ),
    "transformers-classifier": _any(CLASSIFIER, "any checkpoint for audio classification"),
    "transformers-clap": _any(CLAP, "any CLAP checkpoint"),
    "transformers-features": _any(FEATURES, "any wav2vec 2.0, HuBERT or WavLM, mean of a layer"),
    "transformers-speaker-vectors": _any(SPEAKERS, "any of those with a head for x-vectors"),
}
