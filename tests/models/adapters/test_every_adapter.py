"""What holds for all adapters: each is run by a test, to the end; rates and extras are true."""

import ast
import importlib
import importlib.util
import json
import pkgutil
import re
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import soundfile
from packaging.requirements import Requirement

import models
from models import MODELS, adapters
from models.base import Model
from models.registry import model_class
from pipelines.score import Answers

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
METHODS = {
    "recognition": "transcribe",
    "separation": "separate",
    "enhancement": "enhance",
    "classification": "classify",
    "embedding": "embed_audio",
    "quality": "estimate",
}


def concrete() -> set[type[Model]]:
    """Every class in `models.adapters` that answers its task and from which no other derives."""
    found: set[type[Model]] = set()
    for module in pkgutil.iter_modules(adapters.__path__, f"{adapters.__name__}."):
        values = vars(importlib.import_module(module.name)).values()
        found |= {
            each
            for each in values
            if isinstance(each, type)
            and issubclass(each, Model)
            and each.__module__ == module.name
            and (method := METHODS.get(getattr(each, "task", "")))
            and getattr(each, method) is not getattr(Model, method)
        }
    return {each for each in found if not any(other in found for other in each.__subclasses__())}


def asked_by_the_command() -> set[str]:
    """Names of models that a test of this folder hands to `realear score` or `realear predict`:
    words in such a test, and in tables of its file that it names.
    """
    found: set[str] = set()
    for path in HERE.glob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        tables = {
            target.id: words_in(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and "realear" in {a.arg for a in node.args.args}:
                said = words_in(node)
                used = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
                if said & {"score", "predict"}:
                    found |= said.union(*(tables.get(name, set()) for name in used))
    return found & MODELS.keys()


def words_in(node: ast.AST) -> set[str]:
    return {
        each.value
        for each in ast.walk(node)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    }


def test_every_adapter_has_a_name_and_a_test_that_runs_it_by_the_command():
    classes = concrete()
    assert len(classes) > 20
    assert classes <= {model_class(name) for name in MODELS}
    assert classes <= {model_class(name) for name in asked_by_the_command()}


def test_a_rate_in_a_name_is_the_rate_that_is_heard():
    told = 0
    for name, entry in MODELS.items():
        if entry.needs == "a checkpoint":
            continue
        words = f"{name} {entry.needs} {entry.summary}"
        rates = {int(rate) * 1000 for rate in re.findall(r"(?<!\d)(8|16|24|48)k(?![a-z])", words)}
        rates |= {round(float(rate) * 1000) for rate in re.findall(r"([\d.]+) kHz", words)}
        assert rates <= {models.create(name).sample_rate}, name
        told += bool(rates)
    assert told >= 15
    assert models.create("sepformer-dns4-16k-enhancement").sample_rate == 16_000


@pytest.mark.parametrize(
    ("stated", "rate"),
    [("sample_rate: 16000", 16_000), ("a: 1\nsample_rate: 11025 # Hz", 11_025), ("a: 1", 8_000)],
)
def test_a_folders_rate_is_known_before_it_is_loaded(tmp_path, stated, rate):
    (tmp_path / "hyperparams.yaml").write_text(stated)
    made = models.create("speechbrain-sepformer", checkpoint=str(tmp_path))
    assert made.sample_rate == rate


def beside(name: str):
    """Another module of tests, for what it saves."""
    spec = importlib.util.spec_from_file_location(f"beside_{name}", HERE / f"test_{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CHECKPOINTS = {
    "torchaudio-conv-tasnet": lambda at: (saved := beside("torchaudio_separation")).save(
        at, "ConvTasNet", saved.TASNET | {"num_sources": 2}
    ),
    "torchaudio-emformer": lambda at: beside("torchaudio_transducer").save(at),
    "transformers-features": lambda at: beside("features").save(at, "wav2vec2", "layer", "Model"),
    "speechbrain-encoder-decoder": lambda at: beside("speechbrain_recognition").saved(at, "crdnn"),
    "asr-wav2vec2-librispeech": lambda at: beside("speechbrain_recognition").saved(at, "wav2vec2"),
    "open-unmix": lambda at: beside("open_unmix").save(at),
}
"""Names, one for each library and each extra, and what saves a checkpoint for them."""


@cache
def setup() -> dict[str, object]:
    """REQUIREMENTS and EXTRAS of setup.py, which is read and not run."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id in ("REQUIREMENTS", "EXTRAS")
    }


def installed_by(extra: str) -> set[str]:
    """Distributions that `pip install 'realear[extra]'` brings, with all that they ask for."""
    extras = setup()["EXTRAS"]
    asked = [each for name in extra.split(",") if name for each in extras[name]]
    waiting, found = [Requirement(text) for text in [*setup()["REQUIREMENTS"], *asked]], set()
    while waiting:
        wanted = waiting.pop()
        if (name := plain(wanted.name)) in found:
            continue
        try:
            needed = metadata.requires(wanted.name) or []
        except metadata.PackageNotFoundError:
            continue  # of another platform
        found.add(name)
        waiting += [
            each
            for each in map(Requirement, needed)
            if not each.marker
            or any(each.marker.evaluate({"extra": one}) for one in {"", *wanted.extras})
        ]
    return found


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def linked(extra: str, folder: Path) -> Path:
    """A folder of modules as such an installation would have them, by links to what is here."""
    folder.mkdir()
    for name in installed_by(extra):
        for path in files_of(name):
            if not (folder / path.name).is_symlink():  # several share a namespace
                (folder / path.name).symlink_to(path)
    return folder


@cache
def files_of(name: str) -> frozenset[Path]:
    """What a distribution put beside the others: packages, modules and its own record."""
    found = metadata.distribution(name)
    lines = (found.read_text("RECORD") or "").splitlines()
    firsts = {line.partition(",")[0].partition("/")[0] for line in lines}
    return frozenset(Path(found.locate_file(first)) for first in firsts - {"..", "__pycache__"})


CHILD = """
import json, os, sys, warnings

places, asked = json.load(open(sys.argv[1]))
ours = [path for path in sys.path if "site-packages" not in path]
sys.path[:] = [os.getcwd(), *ours, places[""]]
warnings.simplefilter("ignore")
import torch, torchaudio, models

for extra, place in places.items():
    sys.stdout.flush()
    if os.fork():
        os.wait()
        continue
    sys.path[-1] = place
    for name, folder in asked[extra]:
        try:
            model = models.create(name, checkpoint=folder, device="cpu")
            model.load()
            told = ["loaded", *model.libraries]
        except Exception as error:
            told = ["refused", str(error)]
        print(json.dumps([name, extra, told]), flush=True)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def attempts(tmp_path_factory) -> dict[tuple[str, str], list[str]]:
    """How loading ended, by model and what was installed: all of its extra, or less by one."""
    root, asked = tmp_path_factory.mktemp("extras"), {"": []}
    for name, save in CHECKPOINTS.items():
        folder = save(root / name)
        parts = [part for part in MODELS[name].extra.split(",") if part]
        fewer = [",".join(each for each in parts if each != part) for part in parts]
        for extra in [MODELS[name].extra, *fewer]:
            asked.setdefault(extra, []).append((name, str(folder)))
    places = {extra: str(linked(extra, root / f"site-{extra}")) for extra in asked}
    (root / "asked.json").write_text(json.dumps([places, asked]))
    ended = subprocess.run(
        [sys.executable, "-I", "-c", CHILD, str(root / "asked.json")],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    lines = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("[")]
    return {(name, extra): told for name, extra, told in lines}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_an_extra_is_all_that_a_model_needs_and_no_more(attempts, name):
    extra = MODELS[name].extra
    [word, *libraries] = attempts[name, extra]
    assert word == "loaded", libraries
    assert {plain(library) for library in libraries} <= installed_by(extra)
    for part in filter(None, extra.split(",")):
        fewer = ",".join(each for each in extra.split(",") if each != part)
        [word, text] = attempts[name, fewer]
        assert word == "refused"
        assert part in text.partition("pip install 'realear[")[2], text


def test_every_extra_is_one_of_ours_and_of_its_library():
    extras = setup()["EXTRAS"]
    for name, entry in MODELS.items():
        parts = set(filter(None, entry.extra.split(",")))
        assert parts <= extras.keys(), name
        module = entry.cls.partition(":")[0].rpartition(".")[2]
        for library, extra in {"speechbrain": "speechbrain", "open_unmix": "open-unmix"}.items():
            assert (extra in parts) == module.startswith(library), name
        assert ("transducers" in parts) == module.endswith("transducer"), name
        on_the_hub = name.startswith("asr-wav2vec2-")
        own = module in ("whisper", "ctc", "features", "clap", "audio_classification")
        assert ("transformers" in parts) == (own or on_the_hub), name


FRAGILE = """
from dataclasses import dataclass

from models.neural import Neural


@dataclass(kw_only=True)
class Fragile(Neural):
    "A network that breaks, with all its batch, where a clip is loud."

    task = "enhancement"
    version = "1"
    padding = "exact"

    def _build(self):
        import torch

        return torch.nn.Identity()

    def _compute(self, batch, lengths):
        if batch.abs().max() > 0.9:
            raise RuntimeError("too loud")
        pairs = zip(batch.cpu().numpy(), lengths.tolist())
        return [clip[:size].copy() for clip, size in pairs]

    def enhance(self, signals, *, sample_rate):
        return self._answers(signals, lambda clip: clip)
"""


def test_a_clip_that_breaks_a_network_is_counted_and_its_shard_survives(
    realear, tmp_path, monkeypatch
):
    (tmp_path / "fragile.py").write_text(FRAGILE)
    (tmp_path / "wavs").mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        clip = rng.uniform(-0.5, 0.5, 4_000 + number)
        clip[9] = 0.95 if number == 2 else 0.0
        soundfile.write(tmp_path / f"wavs/{number}.wav", clip, 8_000, subtype="PCM_16")
    out = ("--out", tmp_path / "out")
    monkeypatch.syspath_prepend(str(tmp_path))
    ended = realear("prepare", tmp_path / "wavs", "--name", "clips", "--shards", 1, *out)
    assert ended.code == 0, ended.text
    ended = realear("predict", "fragile:Fragile", "clips", "--set", "device=cpu", *out)
    sys.modules.pop("fragile")
    assert ended.code == 0, ended.text
    assert "6 clips · failed: 1 error" in ended.text
    [folder] = (tmp_path / "out/predictions").glob("*/clips")
    [card] = folder.glob("clips-*.json")
    [failure] = json.loads(card.read_text())["failures"]
    assert (failure["key"], failure["reason"]) == ("2", "error")
    assert failure["detail"] == "RuntimeError: too loud"
    answers = Answers(str(folder), card.stem)
    for number in (0, 1, 3, 4, 5):
        assert list(answers.of(str(number))) == ["enhanced.wav"]
    answers.close()
