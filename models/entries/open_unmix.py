"""Models of Open-Unmix."""

from models.entries import ModelEntry

ADAPTERS = "models.adapters.open_unmix"
SEPARATION = f"{ADAPTERS}:OpenUnmixSeparation"
ENHANCEMENT = f"{ADAPTERS}:OpenUnmixEnhancement"
UNMIX = "Stöter et al. 2019, Open-Unmix"
SPEECH = "Uhlich & Mitsufuji 2020, Open-Unmix"


def _published(
    cls: str, bundle: str, summary: str, source: str, licence: str = "unknown"
) -> ModelEntry:
    return ModelEntry(
        cls, summary, {"bundle": bundle}, source, licence, extra="open-unmix", needs=bundle
    )


def _own(cls: str, summary: str) -> ModelEntry:
    return ModelEntry(
        cls, summary, source=UNMIX, licence="unknown", extra="open-unmix", needs="a checkpoint"
    )


ENTRIES: dict[str, ModelEntry] = {
    "umx": _published(SEPARATION, "umx", "vocals, drums, bass and other; MUSDB18", UNMIX),
    "umxhq": _published(SEPARATION, "umxhq", "vocals, drums, bass and other; MUSDB18-HQ", UNMIX),
    "umxl": _published(
        SEPARATION,
        "umxl",
        "vocals, drums, bass and other; 400 h that are not public",
        UNMIX,
        "CC-BY-NC-SA-4.0",
    ),
    "umxse": _published(ENHANCEMENT, "umxse", "speech in noise; VoiceBank and DEMAND", SPEECH),
    "open-unmix": _own(SEPARATION, "separator: an Open-Unmix of your own, as many stems as it has"),
    "open-unmix-enhancer": _own(ENHANCEMENT, "enhancer: one target of an Open-Unmix of your own"),
}
