"""What an installation brings: metadata without dead links, the course, types. Built from an sdist, with no network."""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
from clip_autt.cli.course import ONLINE, tutorial_files
from clip_autt.utils.assets import pip_requirement

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))
from colab import requirement, settings  # noqa: E402

SOURCES = """settings.ini setup.py pyproject.toml MANIFEST.in README.md CHANGELOG.md LICENSE
docs/glossary.md docs/departures.md docs/family.md clip_autt nbs/tutorials""".split()
LINK = re.compile(r"\]\(([^)\s]+)\)")


def built(project: Path, kind: str, target: Path) -> tuple[Path, str]:
    "An sdist or a wheel by the setuptools of this environment, and what setuptools printed."
    target.mkdir()
    code = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, target], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return next(f for f in target.iterdir() if f.is_file()), done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    "The wheel, opened, and what setuptools printed while building it from the sdist."
    folder = tmp_path_factory.mktemp("build")
    for name in SOURCES:
        source, target = ROOT / name, folder / "clone" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
        else:
            shutil.copy(source, target)
    sdist, _ = built(folder / "clone", "sdist", folder / "sdist")
    with tarfile.open(sdist) as tar:
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.11.4 and later
        tar.extractall(folder / "unpacked", **safe)
    path, said = built(next((folder / "unpacked").iterdir()), "wheel", folder / "wheel")
    return zipfile.ZipFile(path), said


@pytest.fixture(scope="module")
def metadata(wheel):
    name = next(n for n in wheel[0].namelist() if n.endswith(".dist-info/METADATA"))
    return message_from_string(wheel[0].read(name).decode("utf-8"))


def test_the_wheel_carries_the_package_the_course_and_nothing_else(wheel):
    names = {n for n in wheel[0].namelist() if ".dist-info/" not in n}
    package = {p for p in (ROOT / "clip_autt").rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    course = {f"clip_autt/tutorials/{f.name}" for f in tutorial_files()}
    course |= {f"clip_autt/tutorials/pages/{name}.md" for name in ("departures", "family")}
    assert "clip_autt/py.typed" in names and any(n.endswith(".safetensors") for n in names)
    assert names == {p.relative_to(ROOT).as_posix() for p in package} | course


def test_setuptools_has_nothing_to_warn_about(wheel):
    assert not re.search(r"Deprecat|absent from|would be (ignored|overwritten)|importable", wheel[1]), wheel[1][-3000:]


def test_the_description_has_no_link_into_a_clone(metadata):
    text = metadata.get_payload()
    assert metadata["Description-Content-Type"] == "text/markdown"
    links = LINK.findall(text)
    assert links and not [x for x in links if not x.startswith(("https://", "#"))]
    picture = rf"!\[[^\]]*\]\({re.escape(settings()['git_url'])}/raw/\S+\.webp\)"
    assert re.search(picture, text), "the animation is shown on an index too"


def test_addresses_in_the_description_are_files_of_the_project(metadata):
    cfg = settings()
    own = re.compile(rf"{re.escape(cfg['git_url'])}/(?:blob|raw)/{cfg['branch']}/([^#]*)")
    paths = [found[1] for link in LINK.findall(metadata.get_payload()) if (found := own.match(link))]
    assert paths and not [p for p in paths if not (ROOT / p).exists()]


def test_metadata_says_where_the_project_lives_and_that_it_is_typed(metadata):
    cfg = settings()
    assert f"Repository, {cfg['git_url']}" in metadata.get_all("Project-URL")
    assert metadata["License-Expression"] == cfg["license"] and "Typing :: Typed" in metadata.get_all("Classifier")


def test_the_repository_is_named_alike_everywhere():
    cfg = settings()
    assert ONLINE == f"{cfg['git_url']}/blob/{cfg['branch']}/"
    assert f'repository-code: "{cfg["git_url"]}"' in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert pip_requirement() == requirement() and pip_requirement("lab").startswith("clip_autt[lab] @ ")
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("nbs/tutorials/*.ipynb")]
    asked = [line for p in pages for line in p.read_text(encoding="utf-8").splitlines() if "pip install" in line]
    assert asked and not [line for line in asked if "clip_autt" in line and f"git+{cfg['git_url']}" not in line]


def test_the_developers_extra_names_the_others(metadata):
    own = [r for r in metadata.get_all("Requires-Dist") if r.startswith("clip_autt[")]
    assert len(own) == 1 and set(re.findall(r"\w+", own[0].split("]")[0])) == {"clip_autt", "lab", "docs", "cluster"}
