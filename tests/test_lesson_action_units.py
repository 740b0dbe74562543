"""What the lesson on action units says about trust and names stands in the pages that measured it."""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
(LESSON,) = (ROOT / "nbs" / "tutorials").glob("*_action_units_of_your_own_film.ipynb")
TASKS = 3


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def rows(text: str) -> list[list[str]]:
    "The cells of the lines of tables in a text, without emphasis and links' targets."
    lines = re.findall(r"^\|(.*)\|$", re.sub(r"\]\([^)]*\)|\*\*", "", text), re.M)
    return [[c.strip() for c in x.split("|")] for x in lines]


def row(text: str, start: str) -> list[str]:
    "The one row whose first cell begins so, without this cell."
    (found,) = (x[1:] for x in rows(text) if x[0].startswith(start))
    return found


@pytest.fixture(scope="module")
def text() -> str:
    return "\n".join(c.source for c in nbformat.read(LESSON, 4).cells if c.cell_type == "markdown")


@pytest.fixture(scope="module")
def trusted() -> list[list[str]]:
    return [x for x in rows(page("action_units")) if x[0].startswith("AU") and x[0] != "AU"]


def test_every_action_unit_stands_where_the_page_puts_it(text, trusted):
    names = {"rendered faces only": "on rendered faces"}
    for word in ("yes", "with care", "no", "rendered faces only", "doubtful"):
        measured = word in ("yes", "with care", "no")
        there = [f"{x[0]} {x[4]}" if measured else x[0] for x in trusted if x[7] == names.get(word, word)]
        assert there and row(text, word) == [", ".join(there)], word
    (left_out,) = re.findall(r"error above 3.2 steps: (.*)\.", page("action_units"))
    assert f"The other {len(left_out.split(', '))} are in no table" in text


def test_what_is_said_of_people_and_chance(text, trusted):
    chances = sorted(float(x[6]) for x in trusted if x[6])
    assert text.count(f"below +{chances[0]:.2f} to +{chances[-1]:.2f}") == 2
    assert "on 4 real people (363 frames)" in page("action_units") and "**four real people** (363 frames)" in text
    least = min(float(x[2]) for x in trusted if x[7] == "on rendered faces")
    assert re.search(rf"AUC\]\([^)]*\) of {least:.2f} or more", text)
    assert [x[0] for x in trusted if x[0] == "AU4" and x[7] == "no"], "AU4 is no longer a no"


def triple(cells: list[str]) -> str:
    "The means of the three tasks, without what follows the sign of plus or minus."
    assert len(cells) == TASKS
    return ", ".join(c.split(" ±")[0] for c in cells)


def test_names_in_the_three_tables_of_the_page_on_explanations(text):
    per_au, in_a_clip, first = (part for part in page("explanations").split("\n## ")[1:4])
    ours = text.split("|scores|for an AU|")[1].split("\n\n")[0]
    both = {
        "cosines": "frozen CLIP",
        "cosines, minus rest": "the same, frames relative",
        "CLIP-AU": "CLIP-AU, trained",
        "head of `personal`, as filmed": "personal head before",
        "`personal`": "personal head after",
    }
    known = {x[0]: x[1:] for x in rows(ours)}
    for name, theirs in both.items():
        assert known[name][:2] == [triple(row(per_au, theirs)), triple(row(in_a_clip, theirs))], name
    for name, theirs in {"CLIP-AU": "CLIP-AU", "`personal`": "`PersonalBaseline`", "chance": "chance"}.items():
        assert known[name][2] == triple(row(first, theirs)), name
    assert known["chance"][:2] == ["0", "0"] and len(known) == len(both) + 2  # with the line below the header


def test_names_on_the_page_on_the_search(text):
    part = rows(page("search").split("Agreement of scores with the true intensities")[1].split("\n\n")[1])
    mean = {tuple(x[:2]): x[-1] for x in part}
    found = [mean["relative", "0"], mean["relative", "0.5"], mean["raw", "the backbone's own cosines"]]
    assert row(text, "head without anchor") == ["60 strangers, first edition", "0", ", ".join(found)]
    assert "60 people with 20 clips" in page("search") and "first edition" in page("search")


def test_names_beside_a_teacher_who_sees_the_muscles(text):
    (part,) = (x for x in page("beyond").split("\n\n") if "| agreement per AU | per clip |" in x)
    header, *found = rows(part)
    k, heads = header.index("agreement per AU"), {x[0]: x for x in found}
    mean = lambda cell: cell.partition(" ± ")[0]
    per_au, in_a_clip = ([mean(heads[name][i]) for name in ("plain head", "PKDOT", "direct")] for i in (k, k + 1))
    assert "trained from 5 random starts" in page("beyond")
    assert row(text, "plain head, head taught by one") == ["20 strangers, five random starts", "0", ", ".join(per_au)]
    assert row(text, "the same; in a clip")[-1] == ", ".join(in_a_clip)


def test_order_of_frames(text):
    part = page("beyond").split("### Action units: order, decision, strength")[1].split("\n#")[0]
    header, *found = rows(part)
    auc = [x[header.index("AUC")] for x in found if x[1] == "relative to rest"]
    assert row(text, "cosines minus rest; AUC") == ["30 strangers", "0.5", ", ".join(auc)]


def test_real_people(text):
    (mean,) = (x for x in rows(page("real_faces")) if x[:1] == ["mean"])
    assert row(text, "cosines; frames of a person, 15 AUs") == ["4 real people", f"below {mean[5]}", mean[3]]
    assert "mean over the 15 action units" in page("real_faces")
    (reading,) = re.findall(r"Mean over the 14 that were measured on real people: (\S+) with", page("action_units"))
    assert row(text, "reading; frames of a person, 14 AUs")[-1] == reading


def test_what_is_said_of_damaged_tables(text):
    assert "Tables once: 5,000 that were changed at random" in page("reliability")
    assert "none raised anything else" in page("reliability") and "Of 5,000 tables changed at random" in text
