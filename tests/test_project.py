"""The project: package in sync with notebooks, notebooks clean and readable, floors respected, README current."""

import filecmp
import os
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "nbs").rglob("*.ipynb"))
SOURCES = [p for p in NOTEBOOKS if p.parent.name not in ("nbs", "tutorials")]
BIN = Path(sys.executable).parent
sys.path.insert(0, str(ROOT / "tools"))
import house  # noqa: E402
from house import FLOORS, imports, wing  # noqa: E402


def cells(path, kind=None):
    return [c for c in nbformat.read(path, 4).cells if kind in (None, c.cell_type)]


def visible_outputs(path):
    for cell in cells(path, "code"):
        for o in cell.outputs:
            data = o.get("data", {})
            yield "".join(
                [o.get("text", ""), *(v for k, v in data.items() if k.startswith("text/") and isinstance(v, str))]
            )


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    "A copy of the project, exported and cleaned anew."
    d = tmp_path_factory.mktemp("export")
    for name in ("nbs", "clip_autt"):
        shutil.copytree(ROOT / name, d / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    shutil.copy(ROOT / "pyproject.toml", d)
    env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "IPYTHONDIR": str(d / ".ipython")}
    for command in ("nbdev-export", "nbdev-clean"):
        subprocess.run([BIN / command], cwd=d, env=env, check=True, capture_output=True)
    return d


def test_the_package_is_in_sync_with_the_notebooks(fresh):
    names = sorted(p.relative_to(ROOT) for p in (ROOT / "clip_autt").rglob("*.py"))
    assert names == sorted(p.relative_to(fresh) for p in (fresh / "clip_autt").rglob("*.py"))
    _, differ, errors = filecmp.cmpfiles(ROOT, fresh, names, shallow=False)
    assert not differ and not errors, f"edit nbs/ and run nbdev-export: {differ or errors}"


def test_notebooks_are_clean(fresh):
    names = [p.relative_to(ROOT) for p in NOTEBOOKS]
    _, differ, _ = filecmp.cmpfiles(ROOT, fresh, names, shallow=False)
    assert not differ, f"run nbdev-clean: {differ}"


def test_the_readme_is_current():
    subprocess.run([sys.executable, ROOT / "tools/readme.py", "--check"], check=True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_hygiene(path):
    nb = nbformat.read(path, 4)
    assert "widgets" not in nb.metadata, "saved widget state: GitHub refuses such notebooks"
    assert path.stat().st_size < (500_000 if path.parent.name == "tutorials" else 150_000), "too large with its outputs"
    assert len(nb.cells) <= 62
    for text in visible_outputs(path):
        assert not re.search(r"(/(home|root|tmp|work|Users|private|var)/\w|[A-Z]:\\\\)", text), (
            f"a path of one machine in an output: {text[:200]}"
        )
        assert not re.search(r"\b\d+(\.\d+)? ?(ms|µs|us)\b|seconds=\d|it/s|\d{4}-\d\d-\d\d", text), (
            f"a time in an output: {text[:200]}"
        )
        assert not re.search(r" at 0x[0-9a-f]{6}", text), f"a memory address in an output: {text[:200]}"
        assert "Warning" not in text, f"a warning in an output: {text[:200]}"
    for c in cells(path, "code"):
        if path.parent.name == "tutorials":
            assert "nbdev" not in c.source
        assert not any(o.output_type == "error" for o in c.outputs)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_source_notebooks_teach(path):
    "Short exports, documented parameters counted; prose for the code; a title with one line below it."
    exported = [
        c.source
        for c in cells(path, "code")
        if re.search(r"^#\| exporti?$", c.source, re.M) and "import" not in c.source.splitlines()[1]
    ]
    lines = [len([x for x in s.splitlines() if x.strip() and not x.strip().startswith("#")]) for s in exported]
    assert statistics.median(lines) <= 20, lines
    words = sum(len(c.source.split()) for c in cells(path, "markdown"))
    code = sum(len([x for x in c.source.splitlines() if x.strip()]) for c in cells(path, "code"))
    assert words / code >= 1.4, f"{words} words for {code} lines of code"
    first = cells(path)[:2]
    assert first[0].source.startswith("#| default_exp") and re.match(r"# .+\n\n> .+", first[1].source)


MODULES = house.modules()


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_only(module):
    assert wing(module) in FLOORS, "a new folder needs a floor"
    up = [other for other in imports(module) if FLOORS.index(wing(other)) > FLOORS.index(wing(module))]
    assert not up, f"{module} imports {', '.join(up)} from a floor above"


def test_modules_do_not_import_each_other_in_circles():
    below = {m: {o for o in imports(m) if o in MODULES} for m in MODULES}
    while free := {m for m, others in below.items() if not others}:
        below = {m: others - free for m, others in below.items() if m not in free}
    assert not below, f"in a circle: {', '.join(below)}"


def test_only_the_core_lies_at_the_root():
    story = "au backbone moving texttower features temporal prompts attachments model outputs train window method autt"
    story += " released published"
    assert [m for m in MODULES if wing(m) == "core"] == sorted(story.split())


def test_notebooks_lie_as_modules_do():
    for path in SOURCES:
        name = re.search(r"default_exp (\S+)", cells(path)[0].source)[1]
        assert path.parent.name == wing(name) and re.fullmatch(rf"\d\d[a-z]?_{name.split('.')[-1]}", path.stem), path


def test_the_lowest_floors_need_no_torch():
    code = (
        "import sys, clip_autt, clip_autt.au, clip_autt.video.io, clip_autt.faces.portraits; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_loads():
    import clip_autt

    for name in clip_autt.__all__:
        assert getattr(clip_autt, name) is not None


@pytest.mark.parametrize("module", MODULES)
def test_modules_stay_small(module):
    lines = (ROOT / f"clip_autt/{module.replace('.', '/')}.py").read_text(encoding="utf-8").splitlines()
    code = [x for x in lines if x.strip() and not x.strip().startswith("#")]
    assert len(code) <= 300, f"{len(code)} lines of code"
    wide = [
        x for x in lines[1:] if len(x) > 120 and not x.startswith(("# %%", "__all__"))
    ]  # the first line is the notebook's subtitle
    assert not wide, f"{len(wide)} lines are wider than 120 columns: {wide[0]}"


def test_every_page_shows_the_present_floors():
    assert house.is_current(), "run `python tools/house.py --write`, then `python tools/readme.py`"


def test_the_front_page_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1500


def test_no_machine_paths_in_tracked_text():
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *(ROOT / "clip_autt").rglob("*.py"),
        *ROOT.glob("tools/*.py"),
    ]:
        assert not re.search(r"(?<![\w.])/(home|root|work|Users)/\w", path.read_text(encoding="utf-8")), path
