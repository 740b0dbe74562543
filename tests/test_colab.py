"""The course in the environment of Google Colab: its pins, the answer to its first cell, and two tutorials where it is
built (`make colab` builds it and runs them all)."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))
from colab import requirement, settings  # noqa: E402
from colab_course import PINS, changed_pins, complaints, environment  # noqa: E402

BUILT = (ROOT / "build" / "colab-venv" / ".installed").exists()


def pins() -> dict[str, str]:
    return dict(line.split("==") for line in PINS.read_text(encoding="utf-8").splitlines() if "==" in line)


def test_the_library_asks_for_nothing_newer_than_colab_has():
    needs = {r.name: r for r in map(Requirement, settings()["requirements"].split())}
    assert [name for name, pin in pins().items() if name in needs and pin not in needs[name].specifier] == []


def test_the_address_of_the_first_cell_is_answered_with_the_working_tree(tmp_path):
    if not (ROOT / ".git").exists():
        pytest.skip("no clone: git does not know the files of the working tree")
    env = environment(tmp_path / "home")
    address = requirement().partition("git+")[2].rpartition("@")[0]
    clone = ["git", "clone", "-q", "--branch", settings()["branch"], address, str(tmp_path / "clone")]
    subprocess.run(clone, env={**os.environ, **env}, check=True, capture_output=True)
    for name in ("tools/colab_course.py", "clip_autt/show/widgets.py", "nbs/tutorials/04_time.ipynb"):
        assert (tmp_path / "clone" / name).read_bytes() == (ROOT / name).read_bytes()


def test_what_is_red_in_a_notebook_is_reported():
    def cell(source, name, text):
        return nbformat.v4.new_code_cell(source, outputs=[nbformat.v4.new_output("stream", name=name, text=text)])

    cells = [
        cell("show()", "stdout", "error: said by a tutorial that shows one"),
        cell("show()", "stderr", "FutureWarning"),
        cell("%pip install -q x", "stdout", "Note: you may need to restart the kernel"),
        cell("%pip install -q x", "stdout", "\x1b[1;31merror\x1b[0m: no such branch"),
    ]
    found = complaints(nbformat.v4.new_notebook(cells=cells))
    assert found == ["FutureWarning", "\x1b[1;31merror\x1b[0m: no such branch"]


def test_a_package_that_pip_replaced_is_reported(monkeypatch):
    replaced = {**pins(), "numpy": "2.4.6", "torch": pins()["torch"] + "+cpu"}
    monkeypatch.setattr("colab_course.version", replaced.__getitem__)
    assert changed_pins() == [f"numpy {pins()['numpy']} -> 2.4.6"]


@pytest.mark.skipif(
    not (BUILT or "CLIP_AUTT_COLAB" in os.environ),
    reason="Colab's environment takes 6 GB: `make colab` or the variable CLIP_AUTT_COLAB=1 builds it",
)
def test_two_tutorials_run_in_colabs_environment():
    done = subprocess.run(["make", "colab", "TUTORIALS=01 11"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "2 of 2 tutorials run" in done.stdout, done.stdout + done.stderr
