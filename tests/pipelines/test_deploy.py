"""What is deployed: files that say the same as the code, as far as that shows without a cloud."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from ruamel.yaml import YAML

from pipelines import cli, clusters, fetching
from pipelines.engines import engine
from pipelines.records import RealEarError

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def documents(name: str) -> list[dict]:
    return list(YAML(typ="safe").load_all((DEPLOY / name).read_text()))


def test_the_compose_file_is_one():
    words = ["--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml")]
    subprocess.run([sys.executable, "-m", "check_jsonschema", *words], check=True, timeout=60)


def test_images_are_of_the_flink_and_the_beam_that_the_code_takes():
    release, _ = fetching.DISTRIBUTIONS[fetching.FLINK]
    text = "".join(path.read_text() for path in DEPLOY.rglob("*") if path.is_file())
    assert set(re.findall(r"flink:([\d.]+)-", text)) == {release}
    assert set(re.findall(r"beam_python3\.11_sdk:([\d.]+)", text)) == {fetching.beam()}
    assert set(re.findall(r"apache-beam\[gcp\]==([\d.]+)", text)) == {fetching.beam()}
    assert f"flinkVersion: v{fetching.FLINK.replace('.', '_')}" in text
    version = re.search(r'version="([^"]+)"', (ROOT / "setup.py").read_text())[1]
    assert set(re.findall(r"image: realear:([\d.]+)", text)) == {version}


def test_the_launcher_on_kubernetes_says_what_the_cluster_is():
    claim, flink, job = documents("flink.yaml")
    slots = int(flink["spec"]["flinkConfiguration"]["taskmanager.numberOfTaskSlots"])
    pods = flink["spec"]["taskManager"]["podTemplate"]["spec"]
    launcher = job["spec"]["template"]["spec"]["containers"][0]
    words = launcher["args"][2:]
    ours = ("--out", "--runner")
    chosen = engine("FlinkRunner", 0, [word for word in words if not word.startswith(ours)])
    asked = clusters.asked(chosen)
    assert asked.master == f"http://{flink['metadata']['name']}-rest:8081"
    assert asked.parallelism == slots * flink["spec"]["taskManager"]["replicas"]
    assert f"--sdk_worker_parallelism={slots}" in words
    workers = next(each for each in pods["containers"] if each["name"] == "workers")
    port = workers["args"][workers["args"].index("--port") + 1]
    assert f"--environment_config=localhost:{port}" in words
    for volumes in (pods["volumes"], job["spec"]["template"]["spec"]["volumes"]):
        assert volumes[0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert workers["volumeMounts"] == launcher["volumeMounts"]


def test_the_commands_in_the_files_are_ours():
    compose = documents("compose.yaml")[0]["services"]
    assert compose["workers"]["command"][0] in typer.main.get_command(cli.app).commands
    assert compose["workers"]["network_mode"] == "service:taskmanager"


def test_the_templates_parameters_are_those_of_its_pipeline(evaluated, tree, tmp_path, capsys):
    template = json.loads((DEPLOY / "dataflow/template.json").read_text())
    required = [each["name"] for each in template["parameters"] if not each.get("isOptional")]
    main = runpy.run_path(str(DEPLOY / "dataflow/predict.py"))["main"]
    with pytest.raises(SystemExit):
        main([])
    missing = re.search(r"required: (.*)", capsys.readouterr().err)[1]
    assert [name.removeprefix("--") for name in missing.split(", ")] == required
    # Its pipeline, here instead of there: the answers that an evaluation gives.
    words = {"model": "wiener", "dataset": evaluated / "datasets/noisy", "out": tmp_path}
    main(["--runner=local", "--parameters={}", *(f"--{n}={v}" for n, v in words.items())])
    found = {name: hashed for name, hashed in tree(tmp_path).items() if "/wiener-" in name}
    wanted = {name: hashed for name, hashed in tree(evaluated).items() if name in found}
    assert found == wanted
    assert len([name for name in found if name.endswith(".tar")]) == 3


def test_options_of_dataflow_are_taken_and_what_is_missing_is_said(monkeypatch):
    words = ["--project=p", "--region=europe-west4", "--temp_location=gs://b/tmp"]
    words += ["--setup_file=./setup.py", "--sdk_container_image=i", "--max_num_workers=4"]
    words += ["--worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"]
    with pytest.raises(RealEarError, match="unknown option '--worker_accelerator"):
        engine("DataflowRunner", 0, words)
    chosen = engine("DataflowRunner", 0, words[:-1])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RealEarError, match=r"pip install .*'apache-beam\[gcp\]==2\."):
        clusters.check(chosen)
