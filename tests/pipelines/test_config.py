"""Suites: what is wrong with one is told before anything runs."""

import copy
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from leaderboards.labels import LABELS, alternatives
from leaderboards.records import ClipRule, SliceRule
from pipelines import config, evaluate, rules, schema
from pipelines.config import load_suite, making_order, parse_datasets, parse_name, parse_suite
from pipelines.make import make
from pipelines.records import RealEarError
from pipelines.shards import datasets

ROOT = Path(__file__).parents[2]
SUITE = {
    "name": "small",
    "datasets": {
        "real": {"domain": "real", "corpus": {"folder": "x"}},
        "read": {"domain": "synthetic", "recipe": {"kind": "readings", "of": ["real"]}},
        "noisy": {"domain": "simulated", "recipe": {"kind": "scenes", "of": "read"}},
    },
    "models": {"mine": {"model": "pocketsphinx", "parameters": {}}},
    "comparisons": {
        "recognition": {
            "task": "recognition",
            "models": ["mine"],
            "metrics": {"wer": None},
            "synthetic": ["read"],
            "real": ["real"],
        }
    },
}


def changed(place: str, value) -> dict:
    """The suite with one value replaced; a place is a path of keys."""
    suite = copy.deepcopy(SUITE)
    *path, last = place.split("/")
    inner = suite
    for key in path:
        inner = inner[key]
    inner[last] = value
    return suite


def wrong(suite: dict) -> str:
    with pytest.raises(RealEarError) as caught:
        making_order(parse_suite(suite, "a.yaml"))
    return str(caught.value)


def test_a_sound_suite_is_taken():
    suite = parse_suite(SUITE, "a.yaml")
    assert suite.comparisons["recognition"].datasets() == [("synthetic", "read"), ("real", "real")]
    assert suite.comparisons["recognition"].wanted() == {"wer": {}}
    assert suite.model("mine").model == "pocketsphinx"
    assert suite.model("other").model == "other"


COMPARISON = "comparisons/recognition"


@pytest.mark.parametrize(
    ("place", "value", "text"),
    [
        ("naem", "x", "unknown key 'naem': did you mean 'name'?"),
        ("datasets/real/licens", "x", "unknown key 'datasets.real.licens': did you mean 'licence'"),
        (f"{COMPARISON}/metric", {}, "did you mean 'metrics'"),
        ("models/mine/weights", "x", "unknown key 'models.mine.weights': known: model, parameters"),
        (f"{COMPARISON}/real", ["reel"], "unknown dataset 'reel': did you mean 'real'"),
        (f"{COMPARISON}/task", "recognise", "unknown task 'recognise': did you mean 'recognition'"),
        (f"{COMPARISON}/synthetic", ["real"], "dataset 'real' is real, but listed under synthetic"),
        (f"{COMPARISON}/real", ["noisy"], "dataset 'noisy' is simulated, but listed under real"),
        (f"{COMPARISON}/models", [], "models: List should have at least 1 item"),
        ("datasets/read/recipe/of", ["rael"], "unknown dataset 'rael': did you mean 'real'"),
        ("datasets/read/domain", "real", "dataset 'read' is real, but listed under synthetic"),
        ("datasets/read/domain", "fake", "domain: Input should be 'synthetic', 'simulated' or 're"),
        ("datasets/real/recipe", {}, "expected one of corpus, recipe, path, found ['corpus', 'rec"),
        ("datasets/real/corpus", None, "expected one of corpus, recipe, path, found none"),
        (
            "datasets/real/tolerate",
            5,
            "tolerate: Input should be less than or equal to 1 (found 5)",
        ),
        ("datasets/real/shards", 0, "shards: Input should be greater than or equal to 1"),
        ("datasets/real/sample_rate", 96_001, "expected a multiple of 10 Hz above 65535 Hz"),
        ("datasets/real/sample_rate", 10, "sample_rate: Input should be greater than or equal to"),
        ("datasets/real/channels", -1, "Input should be greater than or equal to 0"),
        ("datasets/a b", SUITE["datasets"]["real"], "String should match pattern"),
        ("datasets/..", SUITE["datasets"]["real"], "String should match pattern"),
        ("name", "../up", "name: String should match pattern"),
        ("datasets", {}, "datasets: Dictionary should have at least 1 item"),
        ("comparisons", {}, "comparisons: Dictionary should have at least 1 item"),
        ("datasets/real/recipe", 3, "recipe"),
        ("datasets/read/recipe/of", 3, "recipe.of: expected the names of datasets, found 3"),
        ("datasets/read/recipe/of", None, "recipe.of: expected the names of datasets, found None"),
        ("datasets/read/recipe/of", [["real"]], "recipe.of: expected the names of datasets"),
    ],
)
def test_what_is_wrong_is_told_with_its_remedy(place, value, text):
    message = wrong(changed(place, value))
    assert message.startswith("a.yaml:")
    assert text in message


def test_a_comparison_needs_datasets():
    suite = changed(f"{COMPARISON}/real", [])
    suite["comparisons"]["recognition"]["synthetic"] = []
    assert "expected datasets under synthetic, simulated or real" in wrong(suite)


@pytest.mark.parametrize(
    ("of", "circle"),
    [("read", "read → read"), ("noisy", "read → noisy → read")],
)
def test_datasets_made_of_each_other_are_refused(of, circle):
    assert f"datasets are made of each other: {circle}" in wrong_order(of)


def wrong_order(of: str) -> str:
    with pytest.raises(RealEarError) as caught:
        making_order(parse_suite(changed("datasets/read/recipe/of", [of]), "a.yaml"))
    return str(caught.value)


def test_datasets_come_after_what_they_are_made_of():
    turned = {**SUITE, "datasets": dict(reversed(SUITE["datasets"].items()))}
    suite = parse_suite(turned, "a.yaml")
    assert making_order(suite) == ["real", "read", "noisy"]
    assert making_order(suite, ["read"]) == ["real", "read"]
    with pytest.raises(RealEarError, match="unknown dataset 'raed': did you mean 'read'"):
        making_order(suite, ["raed"])


@pytest.mark.parametrize(
    ("place", "value", "text"),
    [
        (f"{COMPARISON}/metrics", {"wre": None}, "'wre'.*wer"),
        (f"{COMPARISON}/metrics", {"wer": {"normalizer": "x"}}, "'normalizer'.*normaliser"),
        (f"{COMPARISON}/models", ["pocketsphynx"], "'pocketsphynx'.*pocketsphinx"),
        ("models/mine/parameters", {"beem": 1}, "model 'mine'.*beem"),
        (f"{COMPARISON}/models", ["wiener"], "expected one for the task 'recognition', found one"),
    ],
)
def test_models_and_metrics_are_checked_before_any_work(place, value, text):
    with pytest.raises(RealEarError, match=text):
        evaluate.check_models(parse_suite(changed(place, value), "a.yaml"))


def test_metrics_are_the_tasks_own_where_none_is_named():
    suite = parse_suite(changed(f"{COMPARISON}/metrics", {}), "a.yaml")
    assert suite.comparisons["recognition"].wanted() == {"wer": {}, "cer": {}}


def test_a_prepared_dataset_keeps_its_domain(corpora):
    corpora.wav("a.wav")
    made = corpora.prepare()
    again = config.DatasetConfig(domain="real", path=made.folder)
    assert make("any", again, corpora.workspace, corpora.engine, {}).card == made.card
    other = config.DatasetConfig(domain="simulated", path=made.folder)
    with pytest.raises(RealEarError, match="expected domain simulated, its card says real"):
        make("any", other, corpora.workspace, corpora.engine, {})
    assert datasets.read_card(made.folder) == made.card


@pytest.mark.parametrize("name", ["a", "A-b_9", "x" * 64])
def test_names(name):
    assert parse_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a.b", "a/b", "é", "a\n", "x" * 65, "a b"])
def test_other_names_are_refused(name):
    with pytest.raises(RealEarError, match="expected a name of up to 64 letters"):
        parse_name(name)


def test_a_suite_is_known_by_what_it_says():
    one, two = (parse_suite(SUITE, where) for where in ("a", "b"))
    assert one.digest == two.digest
    assert one.digest != parse_suite(changed("title", "x"), "a").digest


def test_a_recipe_file_has_datasets_only():
    found = parse_datasets({"datasets": SUITE["datasets"]}, "a.yaml")
    assert making_order(found, ["noisy"]) == ["real", "read", "noisy"]
    assert parse_datasets(SUITE, "a.yaml") == parse_suite(SUITE, "a.yaml")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"dataset": {}}, "unknown key 'dataset': did you mean 'datasets'?"),
        ({"comparisons": {}}, "missing key 'name'"),  # then it is a suite
        ({"datasets": {}}, "datasets: Dictionary should have at least 1 item"),
        (
            {"datasets": {"a": {"domain": "synthetic", "recipe": {"of": "b"}}}},
            "unknown dataset 'b'",
        ),
    ],
)
def test_a_wrong_recipe_file_is_told_with_its_remedy(changes, text):
    with pytest.raises(RealEarError, match=re.escape(text)):
        parse_datasets({"datasets": SUITE["datasets"], **changes}, "a.yaml")


def test_a_recipes_parts_name_datasets_too():
    recipe = {"kind": "scenes", "of": "read", "noise": {"of": ["real", "read"]}}
    found = parse_datasets(changed("datasets/noisy/recipe", recipe), "a.yaml").datasets["noisy"]
    assert (found.own, found.needs) == (("read",), ("read", "real"))
    wrong = changed("datasets/noisy/recipe", {**recipe, "noise": {"of": 3}})
    with pytest.raises(RealEarError, match=r"recipe\.noise\.of: expected the names of datasets"):
        parse_datasets(wrong, "a.yaml")


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda p: p.name)
def test_the_examples_are_sound(path, monkeypatch):
    monkeypatch.setenv("REALEAR_RECORDINGS", "/somewhere")
    suite = load_suite(str(path))
    assert set(making_order(suite)) == set(suite.datasets)
    # Models that the example's own commands train first are not there yet.
    trained = set(re.findall(r"--to (\S+)", path.read_text(encoding="utf-8")))
    later = {n for n, m in suite.models.items() if m.parameters.get("checkpoint") in trained}
    assert later or not trained
    comparisons = {
        name: asked.model_copy(update={"models": [m for m in asked.models if m not in later]})
        for name, asked in suite.comparisons.items()
    }
    evaluate.check_models(suite.model_copy(update={"comparisons": comparisons}))


def test_slices_are_built_in_names_or_mappings_and_ties_have_a_level():
    place = "comparisons/recognition"
    own = {"name": "age", "column": "labels.age", "values": ["young", "old"]}
    suite = copy.deepcopy(SUITE)
    suite["comparisons"]["recognition"] |= {
        "slices": ["snr", own],
        "include": {"min_scored": 0.9, "clips": [{"column": "seconds", "below": 30}]},
        "ties": "none",
    }
    found = parse_suite(suite, "a.yaml").comparisons["recognition"]
    assert [rule.rule() for rule in found.slices] == [
        rules.BUILT_IN["snr"],
        SliceRule("age", "labels.age", values=("young", "old")),
    ]
    assert [rule.rule() for rule in found.include.clips] == [ClipRule("seconds", None, 30.0)]
    assert (found.include.min_scored, found.ties) == (0.9, "none")
    assert parse_suite(changed(f"{place}/ties", 0.99), "a").comparisons["recognition"].ties == 0.99
    assert "unknown slice 'sn': did you mean 'snr'?" in wrong(changed(f"{place}/slices", ["sn"]))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("slices", [{"name": "a", "column": "second"}], "unknown column 'second': did you mean"),
        ("slices", [{"name": "a", "column": "labels."}], "expected a label after 'labels.'"),
        ("slices", [{"name": "a", "column": "seconds", "edge": [1]}], "did you mean 'edges'?"),
        ("slices", [{"name": "a", "column": "seconds", "edges": [2, 1]}], "edges that rise"),
        ("slices", ["snr", "snr"], "expected each name once, found ['snr'] more than once"),
        ("include", {"min_score": 1}, "did you mean 'min_scored'?"),
        ("include", {"clips": [{"column": "seconds"}]}, "expected at_least, below or values"),
        ("ties", "never", "expected none, or a level between 0.5 and 1 such as 0.95"),
        ("ties", 95, "expected none, or a level between 0.5 and 1 such as 0.95"),
    ],
)
def test_unknown_words_of_slices_and_rules_are_refused(key, value, message):
    assert message in wrong(changed(f"comparisons/recognition/{key}", value))


def test_slices_name_columns_that_an_index_has_and_labels_that_are_written():
    assert set(rules.COLUMNS) <= set(datasets.INDEX_SCHEMA.names)
    sources = [*ROOT.glob("pipelines/corpora/*.py"), *ROOT.glob("pipelines/recipes/*.py")]
    written = "".join(path.read_text(encoding="utf-8") for path in sources)
    for rule in rules.BUILT_IN.values():
        for column in alternatives(rule.column):
            label = column.removeprefix(LABELS)
            assert column in rules.COLUMNS or f'"{label}"' in written, column


def test_the_page_on_boards_shows_a_sound_comparison_and_every_slice():
    page = (ROOT / "docs/boards.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    shown = {
        name: schema.validate(config.ComparisonConfig, comparison, f"docs/boards.md: {name}")
        for block in blocks
        for name, comparison in YAML(typ="safe", pure=True).load(block)["comparisons"].items()
    }
    found = shown["reading"]
    assert shown["meetings"].wanted() == {"blind_si_snr": {"estimator": "blind-si-snr"}}
    assert [rule.name for rule in found.slices] == ["snr", "age", "level"]
    for name, rule in rules.BUILT_IN.items():
        (line,) = [
            line for line in page.splitlines() if line.startswith("|") and f"`{name}`" in line
        ]
        assert all(f"{edge:,g}".replace("-", "−") in line for edge in rule.edges)
