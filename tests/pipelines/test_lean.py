"""Doing without pandas: nobody misses it, and whoever wants it has it."""

import subprocess
import sys
from importlib.metadata import version

import pytest

from pipelines import lean

LATER = """
import sys
from pipelines import lean
lean.arrow()
import pyarrow
pyarrow.array([1.5, None]); pyarrow.Table.from_pylist([{"a": "b"}]).to_pylist()
assert "pandas" not in sys.modules
import pandas
found = pyarrow.array(pandas.Series([1.5, float("nan")]))
assert found.null_count == 1, found  # Arrow takes a Series' NaN for null, a list's for NaN
assert pyarrow.table({"a": [1, 2]}).to_pandas()["a"].sum() == 3
assert pandas.__spec__.name == "pandas"
"""
SERVER = """
import importlib, sys
from pipelines import forkserver, lean
with lean.absent("pandas", "pymongo"):
    for name in forkserver.PRELOADED:
        importlib.import_module(name)
lean.arrow()
from pipelines.shards import datasets
datasets.write_rows(sys.argv[1], [])
assert not {"pandas", "pymongo"} & sys.modules.keys()
import pandas, pymongo
"""


MODELS = """
import sys
from pipelines import lean
lean.arrow()
with lean.absent("pandas", "pymongo"):
    import pipelines.transforms
import pipelines.inference
assert not {"torch", "scipy.optimize", "pandas"} & sys.modules.keys()
import torch, scipy.optimize, pandas
"""


def run(code: str, *arguments: str) -> None:
    command = [sys.executable, "-c", code, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_arrow_finds_pandas_when_somebody_has_imported_it():
    run(LATER)


def test_what_workers_import_holds_neither_pandas_nor_pymongo(tmp_path):
    run(SERVER, str(tmp_path / "rows.parquet"))


def test_a_library_is_absent_within_the_block_only(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with lean.absent("colorsys", "json"):
        with pytest.raises(ImportError):
            import colorsys
        import json  # it was there before
    import colorsys

    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)
    assert json.loads("1") == 1


def test_a_process_that_has_pandas_keeps_it():
    code = (
        "import pandas; from pipelines import lean; lean.arrow(); import sys; print(sys.meta_path)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "_Told" not in ended.stdout
    assert version("pandas")


def test_asking_a_model_that_does_without_torch_imports_none():
    run(MODELS)
