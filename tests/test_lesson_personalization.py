"""What the lesson on personalization says about the threshold stands in the pages that measured it."""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
LESSON = ROOT / "nbs" / "tutorials" / "13_personalization_by_hand.ipynb"


@pytest.fixture(scope="module")
def text() -> str:
    return "\n".join(c.source for c in nbformat.read(LESSON, 4).cells if c.cell_type == "markdown")


def gain_of_the_threshold(stream: str) -> float:
    "On the strangers of the page on settings."
    page = (ROOT / "docs" / "personal_settings.md").read_text(encoding="utf-8").split("## On strangers")[1]
    row = next(x for x in page.splitlines() if x.startswith(f"| {stream} |"))
    assert "| gain of the threshold |\n" in page.split(f"| {stream} |")[0], "the last column is another one"
    return float(row.strip("| ").split("|")[-1].split()[0])


def test_gains_on_rendered_strangers(text):
    lost, gained = re.search(r"lost ([\d.]+) points on shuffled .*? gained ([\d.]+) where nine clips", text).groups()
    assert -float(lost) == gain_of_the_threshold("shuffled") and float(gained) == gain_of_the_threshold("90:10")


def test_real_people(text):
    assert "gained surely on none of three questions, and lost surely on one" in text
    page = (ROOT / "docs" / "real_people.md").read_text(encoding="utf-8")
    (line,) = (x for x in page.splitlines() if x.startswith("* **Threshold.**"))
    assert "a sure gain in 0 and a sure loss in 1 of 3" in line
    rows = [
        tuple(map(float, x))
        for x in re.findall(r"^\| threshold on top of shrunk \| [\d.]+ \| \S+ \[(\S+), (\S+)\]", page, re.M)
    ]
    assert len(rows) == 3 and all(low <= 0 for low, _ in rows)


def test_the_strangers_are_not_those_that_settings_were_chosen_on():
    source = "\n".join(c.source for c in nbformat.read(LESSON, 4).cells if c.cell_type == "code")
    (first,) = {int(x.replace("_", "")) for x in re.findall(r"'pain', ([\d_]+), 5", source)}
    search = (ROOT / "research" / "search" / "search.py").read_text(encoding="utf-8")
    begin, end, _ = (int(x) for x in re.search(r"^SEEDS.* = range\(([\d_]+), ([\d_]+), (\d+)\)", search, re.M).groups())
    assert not set(range(first, first + 5)) & set(range(begin, end))
