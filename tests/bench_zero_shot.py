"""Zero-shot: what a second prompt set costs beside the first run; a large search by tiles.

The model is transformers' CLAP with the audio tower of its real size (HTSAT-tiny), random weights,
and a small text tower: what is compared is hearing the clips with not hearing them again.
"""

import contextlib
import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from metrics.retrieval import search

CLIPS, CLASSES, SECONDS = 150, 10, 5
AUDIOS, TEXTS, DIMENSIONS = 100_000, 1_000, 512
RATE = 48_000  # Hz


def save(folder: Path) -> Path:
    """A CLAP whose audio tower is as large as the real one."""
    import torch
    import transformers
    from tokenizers.pre_tokenizers import ByteLevel

    torch.manual_seed(0)
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = transformers.RobertaTokenizer(vocab=vocabulary, merges=[], model_max_length=77)
    text = {
        "vocab_size": len(tokens), "hidden_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 128, "max_position_embeddings": 80,
        "pad_token_id": 1,
    }  # fmt: skip
    config = transformers.ClapConfig(text_config=text, audio_config={"enable_fusion": False})
    transformers.ClapModel(config).save_pretrained(folder)
    extractor = transformers.ClapFeatureExtractor(truncation="rand_trunc")
    transformers.ClapProcessor(extractor, tokenizer).save_pretrained(folder)
    return folder


def suite(sounds: Path, checkpoint: Path, prompts: list[str]) -> dict:
    """One model, one dataset, some prompt sets."""
    corpus = {"folder": str(sounds), "audio": "{class}_{take}.wav", "speaker": "{take}"}
    named = {"model": "transformers-clap", "parameters": {"checkpoint": str(checkpoint)}}
    return {
        "name": "bench",
        "datasets": {"sounds": {"domain": "real", "corpus": corpus, "shards": 2}},
        "models": {"clap": named},
        "comparisons": {
            "zero": {
                "task": "zero-shot",
                "models": ["clap"],
                "prompts": prompts,
                "real": ["sounds"],
            }
        },
    }


def reuse() -> None:
    """A second prompt set against the first run, everything but the dataset included."""
    import soundfile

    from pipelines.config import parse_suite
    from pipelines.engines import Engine
    from pipelines.evaluate import evaluate
    from pipelines.workspace import Workspace

    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as made:
        sounds, work = Path(made, "sounds"), Workspace(f"{made}/work")
        sounds.mkdir()
        for number in range(CLIPS):
            name = f"class{number % CLASSES}_{number // CLASSES}.wav"
            soundfile.write(sounds / name, random.normal(0, 0.1, SECONDS * RATE), RATE)
        checkpoint = save(Path(made, "clap"))
        times = []
        for prompts in (["sound-of"], ["sound-of", "sounds"]):
            loaded = parse_suite(suite(sounds, checkpoint, prompts), "bench")
            started = time.perf_counter()
            with contextlib.redirect_stderr(io.StringIO()):
                evaluate(loaded, work, Engine(workers=1))
            times.append(time.perf_counter() - started)
    what = f"a second prompt set, {CLIPS} clips of {SECONDS} s"
    print(f"{what:<46} {100 * times[1] / times[0]:6.2f} % of the first run", flush=True)


def embeddings(folder: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Audios and texts, mapped from files, and whose each text is."""
    random = np.random.default_rng(0)
    texts = random.standard_normal((TEXTS, DIMENSIONS)).astype(np.float32)
    audios = random.standard_normal((AUDIOS, DIMENSIONS)).astype(np.float32)
    owners = random.choice(AUDIOS, TEXTS, replace=False)
    audios[owners] += 0.15 * texts
    for name, values in (("audios", audios), ("texts", texts)):
        np.save(f"{folder}/{name}.npy", values)
    return mapped(folder, "audios"), mapped(folder, "texts"), owners


def mapped(folder: str, name: str) -> np.ndarray:
    """An array in a file."""
    found: np.ndarray = np.load(f"{folder}/{name}.npy", mmap_mode="r")
    return found


def by_sorting(audios: np.ndarray, texts: np.ndarray, owners: np.ndarray) -> tuple[float, float]:
    """R@10 both ways, query by query."""
    left = audios / np.linalg.norm(audios, axis=1, keepdims=True)
    right = texts / np.linalg.norm(texts, axis=1, keepdims=True)
    hits = np.zeros(2)
    for text, owner in enumerate(owners):
        hits[0] += owner in np.argsort(-(left @ right[text]))[:10]
        hits[1] += text in np.argsort(-(right @ left[owner]))[:10]
    return float(hits[0] / len(owners)), float(hits[1] / len(owners))


def peak(folder: str) -> None:
    """Print by how many MB a search from files lets the process grow, the files' pages included."""
    owners = np.load(f"{folder}/owners.npy")
    before = highest()
    search(mapped(folder, "audios"), mapped(folder, "texts"), owners=owners, ks=(10,))
    print(json.dumps(highest() - before))


def highest() -> float:
    """The most MB that this process ever held; unlike ru_maxrss not its parent's before it."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    [told] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(told) / 1e3


def large() -> None:
    """100,000 sounds and 1,000 texts, against a loop of argsorts."""
    with tempfile.TemporaryDirectory() as folder:
        audios, texts, owners = embeddings(folder)
        np.save(f"{folder}/owners.npy", owners)
        started = time.perf_counter()
        found = search(audios, texts, owners=owners, ks=(10,))
        ours = time.perf_counter() - started
        started = time.perf_counter()
        wanted = by_sorting(audios, texts, owners)
        theirs = time.perf_counter() - started
        assert (found.text_to_audio.recall[10], found.audio_to_text.recall[10]) == wanted
        command = f"from tests import bench_zero_shot as b; b.peak({folder!r})"
        grown = subprocess.run(
            [sys.executable, "-c", command], capture_output=True, text=True, check=True
        ).stdout
        size = (audios.nbytes + texts.nbytes) / 1e6
    whole = AUDIOS * TEXTS * 8 / 1e6
    what = f"search {AUDIOS:,} × {TEXTS:,}, both ways"
    print(f"{what:<46} {theirs / ours:6.2f} × a loop of numpy's argsort", flush=True)
    told = f"{size:.0f} MB of files mapped among them; all similarities: {whole:.0f} MB"
    print(f"{'… its memory':<46} {float(grown):6.0f} MB, {told}", flush=True)


def main() -> None:
    """Every comparison, a line each."""
    import torch

    torch.set_num_threads(1)
    print("\nzero-shot, one thread\n")
    reuse()
    large()


if __name__ == "__main__":
    main()
