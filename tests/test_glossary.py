"""The words: every name of code in the glossary exists, every term has an entry, and pages use no name that is gone."""

import importlib
import re
from functools import reduce
from pathlib import Path

import nbformat
import pytest
from typer.main import get_command

import clip_autt
from clip_autt import METHODS
from clip_autt.cli.main import app
from clip_autt.methods.registry import INFORMED_METHODS

ROOT = Path(__file__).parents[1]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
TERMS = re.findall(r"^### (.+)$", GLOSSARY, re.M)
WINGS = [importlib.import_module(f"clip_autt.{p.parent.name}") for p in (ROOT / "clip_autt").glob("*/__init__.py")]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("nbs/**/*.ipynb")]
HISTORY = {"CHANGELOG.md", "search.md"}  # what names were called before; an experiment with the names it ran with

GONE = """SourceOnly SurestWindow Linked as_they_come training_views make_tree run_protocol person_shift anchor_loss
  frozen_scores look_from_above personal_autt clip-autt-paper""".split()  # as words anywhere
GONE_IN_CODE = """Adaptable Answer Seen Kept Race Shift SOURCE TARGET adaptable autables bundled catalogue dataset_facts
  datasets encoding meaning own_clips primitives rehearsal replays research scores synth views viz world relative
  unchanged scoped combine
fill ENOUGH OWN""".split()  # as the first name in backticks, where it would be a name of the library


def commands(command=None, name: str = "clip-autt") -> dict:
    "All commands by their words, with groups."
    command = command or get_command(app)
    inner = getattr(command, "commands", {}).items()
    return {name: command} | {k: c for word, sub in inner for k, c in commands(sub, f"{name} {word}").items()}


def exists(name: str) -> bool:
    "Whether a name in backticks is one of the library: a command, an option, a method in tables, or Python."
    if name.startswith("clip-autt "):
        return " ".join(w for w in name.split() if not w.startswith("-")) in commands()
    if name.startswith("--"):
        return any(name in p.opts for c in commands().values() for p in c.params)
    if name.removesuffix("+baseline") in METHODS or name in (*INFORMED_METHODS, "oracle"):
        return True
    first, *inner = name.removeprefix("clip_autt.").removesuffix("()").split(".")
    places = [m for m in (clip_autt, *WINGS) if first in m.__all__]
    missing = object()
    return bool(places) and reduce(lambda x, k: getattr(x, k, missing), inner, getattr(places[0], first)) is not missing


def in_backticks(text: str) -> list[str]:
    "Short code in a text, without blocks."
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))


def names(text: str) -> list[str]:
    "What looks like a name of the library: no file and no sentence."
    looks = re.compile(r"clip-autt( [\w-]+)*|--[a-z-]+|[a-z0-9]+([-+][a-z0-9]+)+|[A-Za-z_][\w.]*(\(\))?")
    return [n for n in in_backticks(text) if looks.fullmatch(n) and not n.endswith(".md")]


def prose(path: Path) -> str:
    "The markdown of a page or of a notebook."
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    return "\n\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown")


def test_every_name_in_the_glossary_exists():
    found = names(GLOSSARY)
    assert len(found) > 40
    assert not [n for n in found if not exists(n)]


def test_a_name_that_does_not_exist_is_noticed():
    assert exists("ClipAU.predict") and exists("clip-autt store info") and exists("--task") and exists("tda+baseline")
    for name in ("ClipAU.forget_me", "NoSuchName", "clip-autt fly", "--fly", "clip-autt-paper", "tda+rest"):
        assert names(f"`{name}`") == [name] and not exists(name), name


def test_terms_are_in_order_and_written_once():
    keys = [t.lower().replace("-", " ") for t in TERMS]
    assert keys == sorted(set(keys))


@pytest.mark.parametrize(
    "term",
    """window|entropy|prompt|logit scale|resting face|personal baseline|personal threshold|reference method|domain shift
subject|protocol|CLIP-AU|CLIP-AUTT|personal|baseline|stream|oracle
control video|neutral shift|translator (PFT)|Gram matrix|few-shot tuning
sparse optimizer (SO)|MSDA|DSFDA""".replace("\n", "|").split("|"),
)
def test_the_words_of_the_field_are_explained(term):
    assert term in TERMS


@pytest.mark.parametrize("path", [p for p in PAGES if p.name not in HISTORY], ids=lambda p: str(p.relative_to(ROOT)))
def test_no_page_uses_a_name_that_is_gone(path):
    text = prose(path)
    words = [n for n in GONE if re.search(rf"(?<![\w-]){re.escape(n)}(?![\w-])", text)]
    code = [n for n in in_backticks(text) if re.split(r"[.(\[]", n.removeprefix("clip_autt."))[0] in GONE_IN_CODE]
    assert not words and not code, f"names that are gone: {words + code}"
