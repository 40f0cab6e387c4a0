"""Models of speechbrain: published checkpoints by their names on the hub, and its classes."""

from __future__ import annotations

from models.entries import ModelEntry

ADAPTERS = "models.adapters.speechbrain"
ATTENTION = f"{ADAPTERS}_recognition:EncoderDecoderRecogniser"
CTC = f"{ADAPTERS}_recognition:EncoderRecogniser"
SEPARATOR = f"{ADAPTERS}_separation:SepformerSeparation"
ENHANCER = f"{ADAPTERS}_separation:SepformerEnhancement"
SPECTRAL_MASK = f"{ADAPTERS}_separation:SpectralMaskEnhancement"
EMBEDDING = f"{ADAPTERS}_embedding:SpeakerEmbedding"
ESTIMATOR = f"{ADAPTERS}_quality:RealMEstimator"
SOUNDS = f"{ADAPTERS}_explanations:SoundClassifier"
PIQ_EXPLAINER = f"{ADAPTERS}_explanations:PiqInterpreter"
L2I_EXPLAINER = f"{ADAPTERS}_explanations:L2iInterpreter"

SEPFORMER = "Subakan et al. 2021, SepFormer, arXiv 2010.13154"
RESEPFORMER = "Subakan et al. 2022, RE-SepFormer, arXiv 2206.09507"
PIQ = "Paissan et al. 2023, PIQ, arXiv 2303.12659"
L2I = "Parekh et al. 2022, L2I, arXiv 2202.11479"
REAL_M = "Subakan et al. 2021, REAL-M, arXiv 2110.10812"
WAV2VEC2 = "Baevski et al. 2020, wav2vec 2.0, arXiv 2006.11477"


def _published(
    cls: str, repository: str, summary: str, source: str, **parameters: str
) -> ModelEntry:
    """A repository of speechbrain's on the hub, whose cards say Apache-2.0."""
    hub = f"speechbrain/{repository}"
    extra = "speechbrain,transformers" if "-wav2vec2-" in repository else "speechbrain"
    given = {"checkpoint": hub, **parameters}
    return ModelEntry(cls, summary, given, source=source, extra=extra, needs=hub)


def _given(cls: str, summary: str, source: str) -> ModelEntry:
    """An architecture for a checkpoint of one's own; one built on a network of the hub says itself
    that it needs transformers, too.
    """
    return ModelEntry(
        cls,
        summary,
        source=source,
        licence="unknown",
        extra="speechbrain",
        needs="a checkpoint",
    )


PUBLISHED = (
    (
        ATTENTION,
        "asr-crdnn-rnnlm-librispeech",
        "English, CRDNN, attention and CTC, recurrent language model",
        "SpeechBrain 2021, arXiv 2106.04624",
    ),
    (
        ATTENTION,
        "asr-transformer-transformerlm-librispeech",
        "English, Transformer, attention and CTC, Transformer language model",
        "SpeechBrain 2021, arXiv 2106.04624",
    ),
    (
        ATTENTION,
        "asr-conformer-transformerlm-librispeech",
        "English, Conformer, attention and CTC, Transformer language model",
        "Gulati et al. 2020, Conformer, arXiv 2005.08100",
    ),
    (CTC, "asr-wav2vec2-librispeech", "English, wav2vec 2.0 large, CTC", WAV2VEC2),
    (
        ATTENTION,
        "asr-wav2vec2-commonvoice-en",
        "English of Common Voice, wav2vec 2.0 large, attention and CTC",
        WAV2VEC2,
    ),
    (SEPARATOR, "sepformer-wsj02mix", "two talkers, SepFormer, 8 kHz", SEPFORMER),
    (SEPARATOR, "sepformer-wsj03mix", "three talkers, SepFormer, 8 kHz", SEPFORMER),
    (SEPARATOR, "sepformer-wham", "two talkers in noise, SepFormer, 8 kHz", SEPFORMER),
    (
        SEPARATOR,
        "sepformer-whamr",
        "two talkers, noise, reverberation; SepFormer, 8 kHz",
        SEPFORMER,
    ),
    (
        SEPARATOR,
        "sepformer-whamr16k",
        "two talkers, noise, reverberation; SepFormer, 16 kHz",
        SEPFORMER,
    ),
    (SEPARATOR, "sepformer-libri2mix", "two talkers of LibriMix, SepFormer, 8 kHz", SEPFORMER),
    (SEPARATOR, "sepformer-libri3mix", "three talkers of LibriMix, SepFormer, 8 kHz", SEPFORMER),
    (
        SEPARATOR,
        "resepformer-wsj02mix",
        "two talkers, RE-SepFormer, 8 kHz",
        RESEPFORMER,
    ),
    (ENHANCER, "sepformer-wham-enhancement", "speech in noise, SepFormer, 8 kHz", SEPFORMER),
    (
        ENHANCER,
        "sepformer-wham16k-enhancement",
        "speech in noise, SepFormer, 16 kHz",
        SEPFORMER,
    ),
    (
        ENHANCER,
        "sepformer-whamr-enhancement",
        "speech in noise and reverberation, SepFormer, 8 kHz",
        SEPFORMER,
    ),
    (
        ENHANCER,
        "sepformer-dns4-16k-enhancement",
        "speech of the fourth DNS challenge, SepFormer, 16 kHz",
        SEPFORMER,
    ),
    (
        SPECTRAL_MASK,
        "metricgan-plus-voicebank",
        "speech in noise, recurrent mask trained for PESQ",
        "Fu et al. 2021, MetricGAN+, arXiv 2104.03538",
    ),
    (
        EMBEDDING,
        "spkrec-ecapa-voxceleb",
        "speakers, ECAPA-TDNN, 192 dimensions",
        "Desplanques et al. 2020, ECAPA-TDNN, arXiv 2005.07143",
    ),
    (
        EMBEDDING,
        "spkrec-xvect-voxceleb",
        "speakers, x-vectors, 512 dimensions",
        "Snyder et al. 2018, x-vectors",
    ),
    (
        EMBEDDING,
        "spkrec-resnet-voxceleb",
        "speakers, ResNet, 256 dimensions",
        "Villalba et al. 2020, ResNet TDNN",
    ),
)

ENTRIES: dict[str, ModelEntry] = {
    **{
        repository: _published(cls, repository, summary, source)
        for cls, repository, summary, source in PUBLISHED
    },
    "real-m-sisnr-estimator": _published(
        ESTIMATOR, "REAL-M-sisnr-estimator", "guesses a separator's SI-SNR, 8 kHz", REAL_M
    ),
    "real-m-sisnr-judge": _published(
        *(ESTIMATOR, "REAL-M-sisnr-estimator"),
        *("guesses the SI-SNR of any separator's estimates, 8 kHz", REAL_M),
        separator="",
    ),
    "speechbrain-encoder-decoder": _given(
        ATTENTION, "recogniser: encoder and decoder, the checkpoint's search", "SpeechBrain"
    ),
    "speechbrain-ctc": _given(CTC, "recogniser: encoder with CTC", "SpeechBrain"),
    "speechbrain-sepformer": _given(
        SEPARATOR, "separator: SepFormer, or anything else between encoder and decoder", SEPFORMER
    ),
    "speechbrain-resepformer": _given(SEPARATOR, "separator: RE-SepFormer", RESEPFORMER),
    "speechbrain-dprnn": _given(
        SEPARATOR, "separator: dual-path recurrent network", "Luo et al. 2020, DPRNN"
    ),
    "speechbrain-conv-tasnet": _given(
        SEPARATOR, "separator: Conv-TasNet", "Luo & Mesgarani 2019, Conv-TasNet"
    ),
    "speechbrain-sepformer-enhancer": _given(
        ENHANCER, "enhancer: the first signal of such a separator", SEPFORMER
    ),
    "speechbrain-spectral-mask": _given(
        SPECTRAL_MASK, "enhancer: a mask on magnitudes, such as MetricGAN+", "SpeechBrain"
    ),
    "speechbrain-speaker-embedding": _given(
        EMBEDDING, "speakers: ECAPA-TDNN, x-vectors, ResNet", "SpeechBrain"
    ),
    "speechbrain-sisnr-estimator": _given(
        ESTIMATOR, "guesses a separator's SI-SNR: such an estimator of your own", REAL_M
    ),
    "piq-esc50-classifier": _published(
        SOUNDS, "PIQ-ESC50", "the CNN of 50 classes of ESC-50 that PIQ-ESC50 explains", PIQ
    ),
    "piq-esc50": _published(
        PIQ_EXPLAINER, "PIQ-ESC50", "explains piq-esc50-classifier: PIQ, as published", PIQ
    ),
    "speechbrain-sound-classifier": _given(
        SOUNDS, "classifier of sounds: that of a PIQ or L2I checkpoint", "SpeechBrain"
    ),
    "speechbrain-piq": _given(
        PIQ_EXPLAINER, "explains the classifier of the same checkpoint: PIQ", PIQ
    ),
    "speechbrain-l2i": _given(
        L2I_EXPLAINER, "explains the classifier of the same checkpoint: L2I", L2I
    ),
}
