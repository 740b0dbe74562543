"""What the lesson on real people quotes stands in the pages that measured it, number by number."""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
(LESSON,) = (ROOT / "nbs" / "tutorials").glob("[0-9][0-9]_real_people.ipynb")
SECTIONS = "Self-report", "Stressor or rest", "Self-report within spoken tasks"
FIRST = "| | self-report | stressor or rest | self-report, spoken tasks |"


def page(name: str = "real_people") -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def source(kind: str) -> str:
    return "\n\n".join(c.source for c in nbformat.read(LESSON, 4).cells if c.cell_type == kind)


@pytest.fixture(scope="module")
def text() -> str:
    return source("markdown")


def section(title: str) -> str:
    return page().split(f"\n## {title}\n")[1].split("\n## ")[0]


def cells(line: str) -> list[str]:
    return [c.strip() for c in line.strip().strip("|").split("|")]


def measured(title: str) -> dict[str, str]:
    "UAR and gain of each row of a table of the page, as the lesson writes them."
    rows = [cells(line) for line in section(title).splitlines() if line.startswith("| ")]
    return {name: ", ".join(filter(None, (uar, gain))) for name, uar, gain, *_ in rows[1:]}


def interval(quoted: str) -> tuple[float, float]:
    return tuple(map(float, re.search(r"\[(\S+), (\S+)\]", quoted).groups()))


def quoted(text: str) -> dict[str, list[str]]:
    "The rows of the lesson's table."
    lines = text.split(FIRST)[1].strip().splitlines()[1:]
    rows = [cells(line) for line in lines[: next(i for i, x in enumerate(lines) if not x.startswith("|"))]]
    return {name: rest for name, *rest in rows}


def differences(text: str) -> list[str]:
    "Cells of the lesson's table that the page does not hold."
    found, pages = quoted(text), [measured(title) for title in SECTIONS]
    return [
        f"{name}: {cell}, measured {p.get(name)}"
        for name, row in found.items()
        for cell, p in zip(row, pages, strict=True)
        if cell != p.get(name)
    ]


def test_the_table_is_that_of_the_page(text):
    assert len(quoted(text)) >= 7 and not differences(text)


def test_a_changed_number_would_be_noticed(text):
    for old, new in (("+2.4 [-1.7, 6.2]", "+2.4 [0.7, 6.2]"), ("| raw | 61.3 |", "| raw | 63.1 |")):
        assert text.count(old) and differences(text.replace(old, new))


def test_who_was_measured(text):
    people, clips, all_people, all_clips = re.search(
        r"\((\d+) people, (\d+) clips\).*?\((\d+) people, (\d+) clips\)", text
    ).groups()
    assert f"{all_people} people with {all_clips} clips. {people} of them have a published self-report" in page()
    assert re.search(rf"self-report of stress, yes or no, for {clips} clips", page())
    assert f"StressID, {all_people} people were filmed during eleven tasks" in text


def test_what_is_said_of_gains_and_harm_follows_from_the_intervals(text):
    rows = {name: [interval(m[name]) for m in map(measured, SECTIONS)] for name in quoted(text) if name != "raw"}
    sure = {name: [(low > 0) - (high < 0) for low, high in r] for name, r in rows.items()}
    online = "running baseline (k = 0)", "shrunk, k chosen inside", "another person's baseline, shrunk"
    assert not any(1 in sure[name] for name in online), "an online baseline gained"
    assert sure["running baseline (k = 0)"] == [0, -1, 0] and sure["shrunk, k chosen inside"] == [0, 0, 0]
    assert [name for name in rows if 1 in sure[name] and "task" not in name] == ["all clips of the person (not online)"]
    assert sure["threshold alone"] == [0, -1, 0] and sure["another person's baseline, shrunk"] == [0, -1, 0]
    assert sure["most frequent label of the task"][0] == 0, "being told the task is surely ahead"
    looks = {
        n: float(v.split(",")[0]) for n, v in measured(SECTIONS[0]).items() if n != "most frequent label of the task"
    }
    assert max(looks.values()) < float(measured(SECTIONS[0])["most frequent label of the task"].split(",")[0])
    assert re.search(r"spoken tasks, .*; 0 of \d+ rows that look at a face are surely above chance there", page())


def test_other_columns(text):
    found = re.search(r"gained surely in \*stressor or rest\*: (.+?) with means only, (.+?) with gaze", text).groups()
    for name, said in zip(("intensities, mean only", "intensities and gaze, mean and deviation"), found, strict=True):
        (line,) = (x for x in section("Which numbers").splitlines() if x.startswith(f"| {name} |"))
        assert cells(line)[-1].split(", ", 1)[1] == said and interval(said)[0] > 0


def test_parted_lips(text):
    (line,) = (x for x in page().splitlines() if x.startswith("| mean of AU25 (lips part) |"))
    _, stressor, report, spoken = cells(line)
    assert f"AU25, parted lips, tells stressor from rest best (area under the ROC curve {stressor})" in text
    assert f"In the real self-reports it goes from {report} to {spoken}" in text
    rows = [x for x in page().split("| number | stressor or rest |")[1].splitlines()[2:] if x.startswith("| ")]
    assert rows[0] == line, "another number tells them apart better"


def test_the_first_clips(text):
    code = re.search(r"^real = pd\.DataFrame\(\{(.*?)\}, index=\[(.*?)\]\)", source("code"), re.S | re.M)
    columns = {k: [float(x) for x in v.split(",")] for k, v in re.findall(r"'(\w+)': \[(.*?)\]", code[1])}
    assert [*columns] == ["raw", "running", "shrunk"]
    for i, number in enumerate(code[2].split(", ")):
        (line,) = (x for x in page().splitlines() if x.startswith(f"| stressor or rest | {number} |"))
        found = [float(c.split(",")[0]) for c in cells(line)[2:5]]
        assert found == [columns[k][i] for k in columns], f"clip {number}"
    assert "`running` is surely worse at clips 1 and 2, `shrunk` at none, and surely better at 8, 10 and 11" in text
    (line,) = (x for x in page().splitlines() if x.startswith("* **First clips.**"))
    assert "*running* is worse at 1 in self-report; 1 and 2 in stressor or rest" in line
    assert "*shrunk* is worse at none, and better at 8, 10 and 11 in stressor or rest. " in line


def test_calm_faces_and_trackers(text):
    assert "AU4 (brow lowerer) at 5.0" in page()
    actors = [cells(x)[2:] for x in page().splitlines() if re.match(r"\| actor \d \| AU4 brow lowerer", x)]
    calm, other = zip(*((a[0], a[2]) for a in actors))
    assert re.search(rf"AU4 at {calm[0]} of 5, the second one's at {calm[1]}\.", text)
    assert f"AU4 in the other film is at {other[0]} and at {other[1]}" in text
    rows = {cells(x)[0]: cells(x) for x in page("real_faces").splitlines() if x.startswith("| ")}
    assert "in the mean, and not at all for AU4" in text
    assert float(rows["**mean**"][3].strip("*")) > 0.2 and abs(float(rows["AU4"][3])) < 0.1


def test_what_the_exercises_say_of_people(text):
    line = next(x for x in page().splitlines() if x.startswith("Somebody else's baseline in place of one's own"))
    assert interval(line.split(" in self-report, ")[1])[1] < 0, "somebody else's baseline costs nothing surely"
    rows = [cells(x) for x in page().splitlines() if x.startswith("| forgetting")]
    assert len(rows) == 2 and all(low <= 0 <= high for r in rows for low, high in (interval(r[2]), interval(r[4])))
    assert "all clips of a person are of one session" in page() and "a person's clips are of one session" in text


def test_no_decimal_of_the_chapter_is_missing_from_the_pages(text):
    "Whatever number is added to the chapter later has to stand in a page, too."
    chapter = text.split("## What was measured on real people")[1].split("## When a person changes")[0]
    known = page() + page("real_faces")
    numbers = re.findall(r"[-+]?\d+\.\d+", chapter)
    assert len(numbers) > 60 and not [n for n in numbers if not re.search(rf"(?<![\d.]){re.escape(n)}(?!\d)", known)]
