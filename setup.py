"""Packages, requirements and the command; Beam ships the project to its workers with this."""

from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent

# Listed one by one: the top-level names are short, so nothing is found by accident.
PACKAGES = [
    "leaderboards",
    "metrics",
    "models",
    "models.adapters",
    "models.entries",
    "models.training",
    "pipelines",
    "pipelines.corpora",
    "pipelines.prompts",
    "pipelines.recipes",
    "pipelines.shards",
    "pipelines.tasks",
]

REQUIREMENTS = [
    "apache-beam~=2.77.0",
    "blake3~=1.0",
    "espeakng-loader~=0.2.4",
    "jinja2~=3.1",
    "jiwer~=4.0",
    "matplotlib~=3.11",
    "mlflow~=3.17.2,<3.18",  # 3.18.0 asks for an mlflow-skinny that was never published
    "noisereduce~=3.0",
    "numpy~=2.4",
    "pesq~=0.0.4",
    "pillow~=12.3",
    "pocketsphinx~=5.1",
    "pyarrow~=25.0",
    "pydantic~=2.14",
    "pyloudnorm~=0.2.0",
    "pyroomacoustics~=0.10.1",
    "pystoi~=0.4.1",
    "rapidfuzz~=3.14",
    "rich>=14",
    "ruamel.yaml>=0.18.17,<0.20",
    "safetensors~=0.8.0",  # what training writes
    "scikit-learn~=1.9",
    "scipy~=1.17",
    "soundfile~=0.14.0",
    "soxr~=1.1",
    "threadpoolctl~=3.6",
    "torch~=2.11.0",
    "torchaudio~=2.11.0",  # must be the very pair of torch's version
    "typer~=0.29.1",
    "vl-convert-python~=1.8",
    "webdataset~=1.0.2",
]

EXTRAS = {
    "overlap": ["meeteval~=0.4.3"],  # cpWER and ORC-WER
    "recognition": ["whisper-normalizer~=0.1.15"],  # the English normaliser
    "transformers": ["transformers~=5.23"],
    "speechbrain": ["speechbrain~=1.1.2"],
    "open-unmix": ["openunmix~=1.3.0"],
    "transducers": ["sentencepiece~=0.2.1"],  # word pieces of torchaudio's Emformer
    "language-models": ["flashlight-text~=0.0.7", "kenlm~=0.3.0"],  # n-grams in a beam search
    "explain": ["captum~=0.9.0"],  # attributions by gradients and by occlusion
    "training": ["lightning~=2.6"],
    "s3": ["boto3~=1.40"],  # s3:// through Beam's filesystems
}

DEVELOPMENT = [
    *(requirement for extra in EXTRAS.values() for requirement in extra),
    "altair~=6.3",  # knows what Vega-Lite allows in a chart
    "axe-playwright-python~=0.1.8",  # with playwright and a Chromium: the page as its users see it
    "check-jsonschema~=0.39.0",  # GitHub's schema of workflows
    "fast_bss_eval~=0.1.4",  # peers and oracles of the metrics' tests and benches
    "flask-cors~=6.0",  # with moto: a server of the S3 protocol
    "hypothesis~=6.150",
    "mir_eval~=0.8.2",
    "moto[s3]~=5.2",
    "mypy~=2.4",
    "playwright~=1.65",
    "pytest~=9.0",
    "pytest-timeout~=2.4",
    "pytest-xdist~=3.8",
    "ruff~=0.17",
    "torchmetrics~=1.9",
]

setup(
    name="realear",
    version="0.1.0",
    description="Does the model do in real life what it does on the benchmark?",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=PACKAGES,
    package_data={
        "leaderboards": ["templates/*"],
        "models": ["weights/*/*"],
        "pipelines": ["prompts/*.yaml", "prompts/vocabularies/*.yaml"],
    },
    install_requires=REQUIREMENTS,
    extras_require={**EXTRAS, "dev": DEVELOPMENT},
    entry_points={"console_scripts": ["realear = pipelines.cli:main"]},
)
