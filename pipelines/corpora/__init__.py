"""Corpora: readers that list what a collection of recordings holds, without touching the audio.

A reader is a frozen configuration with one method, `entries()`. To add one: a module in this
folder, a line in READERS, a test.
"""

from __future__ import annotations

import importlib
from typing import Any

from pipelines.corpora.base import Corpus
from pipelines.records import RealEarError
from pipelines.schema import nearest, validate

READERS = {
    # any recordings
    "files": "pipelines.corpora.files:Files",
    "manifest": "pipelines.corpora.manifest:Manifest",
    "kaldi": "pipelines.corpora.kaldi:Kaldi",
    "lhotse": "pipelines.corpora.lhotse:Lhotse",
    "nemo": "pipelines.corpora.nemo:Nemo",
    "audiofolder": "pipelines.corpora.huggingface:AudioFolder",
    "parquet": "pipelines.corpora.huggingface:Parquet",
    "webdataset": "pipelines.corpora.webdataset:WebDataset",
    # speech, read or spoken
    "librispeech": "pipelines.corpora.librispeech:LibriSpeech",
    "commonvoice": "pipelines.corpora.commonvoice:CommonVoice",
    "vctk": "pipelines.corpora.vctk:Vctk",
    "ljspeech": "pipelines.corpora.ljspeech:LjSpeech",
    "ntcd-timit": "pipelines.corpora.ntcd_timit:NtcdTimit",
    "free-spoken-digits": "pipelines.corpora.free_spoken_digits:FreeSpokenDigits",
    "meetings": "pipelines.corpora.meetings:Meetings",
    # mixtures
    "librimix": "pipelines.corpora.librimix:LibriMix",
    "sparselibrimix": "pipelines.corpora.librimix:SparseLibriMix",
    "wsj0mix": "pipelines.corpora.wsj0mix:Wsj0Mix",
    "wham": "pipelines.corpora.wham:Wham",
    "whamr": "pipelines.corpora.wham:Whamr",
    "realm": "pipelines.corpora.realm:RealM",
    "voicebank-demand": "pipelines.corpora.voicebank_demand:VoiceBankDemand",
    # sounds
    "esc50": "pipelines.corpora.esc50:Esc50",
    "urbansound8k": "pipelines.corpora.urbansound8k:UrbanSound8K",
    "dcase-scenes": "pipelines.corpora.dcase_scenes:DcaseScenes",
    "cryceleb": "pipelines.corpora.cryceleb:CryCeleb",
}


def create(config: dict[str, Any], where: str) -> Corpus:
    """The reader that a configuration names under `reader`; RealEarError where it is wrong."""
    settings = dict(config)
    name = str(settings.pop("reader", "files"))
    if name not in READERS:
        raise RealEarError(f"{where}: unknown reader {name!r}: {nearest(name, READERS)}")
    module, _, attribute = READERS[name].partition(":")
    reader: type[Corpus] = getattr(importlib.import_module(module), attribute)
    return validate(reader, settings, where)
