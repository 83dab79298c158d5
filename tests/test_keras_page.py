"""docs/keras.md and docs/tutorial.ipynb do what they say."""

import re
import resource
import shlex
import shutil

import numpy as np
import pytest
from helpers import TESTS

import srn_tf
from srn_tf.cli import export

DOCS = TESTS.parent / "docs"


@pytest.mark.long
def test_each_snippet_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(TESTS.parent / "demo" / "pictures" / "sharp", "photos")
    page = (DOCS / "keras.md").read_text(encoding="utf-8")
    names = {}
    for language, code in re.findall(r"```(\w+)\n(.*?)```", page, re.DOTALL):
        if language == "python":
            exec(code, names)
        else:
            program, *words = shlex.split(code)
            assert (language, program) == ("sh", "srn-export")
            assert export.main(words) == 0
    assert "g_net" in capsys.readouterr().out
    expected = names["model"].get_config()
    for name in ("again", "same", "clone"):
        assert names[name].get_config() == expected, name
    assert srn_tf.load_model("hub").config == srn_tf.load_model("preset").config
    assert names["restored"].shape == (64, 96, 3)
    assert len(names["history"]["psnr"]) == 2


@pytest.mark.long
def test_the_tutorial_runs_in_time_and_its_network_learns(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("PYTHONPATH", str(TESTS.parent))
    notebook = nbformat.read(DOCS / "tutorial.ipynb", 4)
    kept = [cell.get("outputs") for cell in notebook.cells]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    place = {"metadata": {"path": str(DOCS)}}
    nbclient.NotebookClient(notebook, timeout=900, resources=place, kernel_name="python3").execute()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Of the processor: beside other programs the clock tells little.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 120
    fresh = [cell.get("outputs") for cell in notebook.cells]
    for outputs in (kept, fresh):  # what the page shows is what comes out
        kinds = [
            kind for cell in outputs for output in cell or () for kind in output.get("data", ())
        ]
        assert kinds.count("image/png") == 2
        text = "".join(o.get("text", "") for cell in outputs for o in cell or ())
        first, last = map(float, re.search(r"PSNR (\S+) dB -> (\S+) dB", text).groups())
        assert np.isfinite(first) and last > first
