"""The source notebooks run from top to bottom, each in a process of its own, as `nbdev-test` runs them."""

import multiprocessing as mp
import os
import sys
import traceback
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    p
    for p in (ROOT / "nbs").rglob("*.ipynb")
    if "tutorials" not in p.parts and not p.parent.name.startswith((".", "_"))
)
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="notebooks run in forked processes")


@pytest.fixture(scope="session")
def clean_process():
    "Forks processes that have only imported things: none pays for it, none sees what another left."
    server = mp.get_context("forkserver")
    server.set_forkserver_preload(["nbdev.test", "clip_autt.evaluation.paper", "clip_autt.show.widgets"])
    return server


def run(path: Path, folder: Path) -> None:
    """Execute a notebook; what it shows on its way goes to a file, and an error ends the process with status 1.

    An error while something is displayed counts: the cell would pass, and a reader would see a traceback."""
    from execnb.shell import CaptureShell
    from nbdev.config import get_config
    from nbdev.test import test_nb

    os.environ["IPYTHONDIR"] = str(folder / "ipython")
    file = os.open(folder / "log", os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(file, stream)
    errors = []
    CaptureShell.showtraceback = lambda shell, error=None, **_: errors.append(error or sys.exc_info())
    passed, _ = test_nb(path, skip_flags=get_config(ROOT).tst_flags.split(), basepath=ROOT)
    for error in errors:
        traceback.print_exception(*error)
    sys.exit(not passed or bool(errors))


def ended(server, path: Path, folder: Path) -> tuple[int, str]:
    "Exit status of a notebook's process, and the end of what it said."
    process = server.Process(target=run, args=(path, folder))
    process.start()
    process.join()
    return process.exitcode, (folder / "log").read_text(errors="replace")[-5000:]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT / "nbs").with_suffix("").as_posix())
def test_it_runs(path, clean_process, tmp_path):
    status, said = ended(clean_process, path, tmp_path)
    assert status == 0, said


def test_a_cell_that_fails_fails_the_notebook(clean_process, tmp_path):
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("assert 1 + 1 == 3, 'wrong sum'")])
    nbformat.write(nb, tmp_path / "bad.ipynb")
    status, said = ended(clean_process, tmp_path / "bad.ipynb", tmp_path)
    assert status == 1 and "wrong sum" in said


def test_an_error_in_a_display_fails_the_notebook(clean_process, tmp_path):
    code = "class Table:\n    def _repr_html_(self): raise ValueError('no columns')\nTable()"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]), tmp_path / "bad.ipynb")
    status, said = ended(clean_process, tmp_path / "bad.ipynb", tmp_path)
    assert status == 1 and "no columns" in said
