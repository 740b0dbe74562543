"""README and the pages: every block of code runs as it stands, from top to bottom of a page, in an empty folder."""

import ast
import builtins
import linecache
import re
import shlex
import shutil
import sys
import warnings
from pathlib import Path
from types import ModuleType

import open_clip
import pytest
from conftest import save_published_head
from safetensors.torch import save_file
from typer.main import get_command
from typer.testing import CliRunner

from clip_autt import AUBank, ClipAU
from clip_autt.backbone import load_backbone
from clip_autt.cli.main import app

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))
from docs_site import HOWTO  # noqa: E402
from tutorials import same_text  # noqa: E402

BLOCK = re.compile(r"(<!-- needs a network -->\n)?^```(python|sh)\n(.*?)^```", re.S | re.M)
README = (ROOT / "README.md").read_text(encoding="utf-8")
FRONT = [code for _, kind, code in BLOCK.findall(README) if kind == "python"]
PAGES = sorted(p for p in (ROOT / "docs").rglob("*.md") if BLOCK.search(p.read_text(encoding="utf-8")))


def used_names(blocks: list[str]) -> list[str]:
    "Names that the blocks use, and that are neither made there nor Python's own."
    names = [n for code in blocks for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Name)]
    made = {n.id for n in names if isinstance(n.ctx, ast.Store)} | set(vars(builtins)) | {"videos"}
    froms = [n for code in blocks for n in ast.walk(ast.parse(code)) if isinstance(n, ast.ImportFrom)]
    imported = [a.name for n in froms if n.module == "clip_autt" for a in n.names]
    made |= {a.name for n in froms for a in n.names}
    return sorted({*imported, *(n.id for n in names if n.id not in made)})


def python(code: str, names: dict) -> None:
    "Run a block as a notebook runs a cell: its source can be read again, as a kept result wants."
    name = f"<page {hash(code)}>"
    linecache.cache[name] = len(code), None, code.splitlines(keepends=True), name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(code, name, "exec"), names)


def shell(code: str) -> str:
    "What the commands of clip-autt in a block say; whatever else stands there is not ours."
    said = ""
    for line in code.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["clip-autt"]:
            result = CliRunner().invoke(app, words[1:])
            assert result.exit_code == 0, f"{line}\n{result.output}"
            said += result.stdout
    return said


@pytest.fixture
def folder(tmp_path, monkeypatch, tiny, portrait_mp4):
    "An empty folder, but for what a page takes as given: a checkpoint, videos. Downloaded weights are a tiny CLIP's."
    given = tmp_path / "given"
    given.mkdir()
    save_file(tiny.model.state_dict(), given / "tiny.safetensors")

    def stand_in(name, pretrained=None, *args, **kwargs):
        if pretrained in open_clip.list_pretrained_tags_by_model(name):
            return load_backbone("tiny", given / "tiny.safetensors")
        return load_backbone(name, pretrained, *args, **kwargs)

    for module in [m for name, m in sys.modules.items() if name.split(".")[0] == "clip_autt"]:
        if vars(module).get("load_backbone") is load_backbone:
            monkeypatch.setattr(module, "load_backbone", stand_in)
    here = tmp_path / "here"
    here.mkdir()
    for name in ("head.pth", "biovid.pth"):
        save_published_head(here / name, ClipAU(tiny, bank=AUBank.released(), template="{}"))
    for name in ("monday.mp4", "tuesday.mp4"):
        shutil.copy(portrait_mp4, here / name)
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def cluster(monkeypatch):
    "A scheduler for whoever asks for one by its address."
    distributed = pytest.importorskip("distributed", reason="needs the cluster extra: pip install -e '.[cluster]'")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as local,
        distributed.Client(local) as client,
    ):
        monkeypatch.setattr("dask.distributed.Client", lambda address: client)
        yield


def test_every_page_is_on_the_front_page_and_in_the_site():
    pages = {p.stem for p in (ROOT / "docs" / "howto").glob("*.md")}
    assert pages == set(re.findall(r"\(docs/howto/(\w+)\.md\)", README)) == set(HOWTO)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_its_code_runs(page, folder, request, capsys):
    if page.stem == "cluster":
        (folder / "features").mkdir()
        request.getfixturevalue("cluster")
    names, said, text = {"__name__": "__main__"}, "", page.read_text(encoding="utf-8")
    for needs_network, kind, code in BLOCK.findall(text):
        if kind == "python":
            python(code, names)
        elif not needs_network:  # licensed data
            said += shell(code)
    if page.stem == "openface":  # numbers of every machine alike
        shown = re.findall(r"^```text\n((?!path,).*?)^```", text, re.S | re.M)
        assert len(shown) == 2 and all(block in said for block in shown), "what the page shows is what is printed"
    if page.stem == "cluster":  # counts of operations and frames, no seconds
        shown, printed = re.findall(r"^```text\n(.*?)^```", text, re.S | re.M), capsys.readouterr().out
        assert len(shown) == 3 and all(block in printed for block in shown), "what the page shows is what is printed"


def test_the_front_page_runs(folder, capsys):
    "All blocks in order, each as it stands; what the first prints is what README shows."
    names = {"__name__": "__main__"}
    for i, code in enumerate(FRONT):
        python(code, names)
        if i == 0:
            shown = re.search(r"^```text\n(.*?)^```", README, re.S | re.M)[1]
            assert same_text(shown, capsys.readouterr().out), "what README shows is what is printed"
    assert (folder / "her.safetensors").is_file()


def test_the_commands_of_the_front_page_exist():
    found = [
        shlex.split(line, comments=True)
        for _, kind, code in BLOCK.findall(README)
        if kind == "sh"
        for line in code.splitlines()
    ]
    found = [words for words in found if words[:1] == ["clip-autt"]]
    assert len(found) >= 6
    for _, *words in found:
        command = get_command(app)
        while hasattr(command, "commands") and words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        assert not hasattr(command, "commands"), f"{words}: there is no such command"
        options = {o for p in command.params for o in p.opts}
        assert not [w for w in words if w.startswith("--") and w not in options], (command.name, words)


@pytest.mark.parametrize("name", used_names(FRONT))
def test_a_name_on_the_front_page_can_be_imported(name):
    names = {}
    exec(f"from clip_autt import {name}", names)
    assert not isinstance(names[name], ModuleType)
