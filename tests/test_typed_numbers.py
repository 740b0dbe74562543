"""Numbers that lessons quote from pages of the documentation: typed there, compared with the page here."""

import ast
import csv
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
STREAMS = "balanced", "80:20", "one class"
SEARCH = {  # row of lesson 17: section of docs/search.md, and what its row begins with
    "A": ("A threshold", "CLIP-AU"),
    "B": ("Which baseline", "raw | either"),
    "C": ("Training with", "1, no liveliness"),
    "D": ("Which baseline", "minus the person's median | offline"),
    "E": ("Which baseline", "divided by liveliness, too | offline"),
    "F": ("Training with", "person, no liveliness | all"),
    "G": ("Training with", "person | all"),
    "H": ("Training with", "half video, half person | all"),
    "I": ("Training with", "person, no liveliness | handfuls"),
    "J": ("Training with", "half video, half person | handfuls"),
    "K": ("One part", "nothing"),
    "L": ("Diversity", "0.5"),
    "M": ("Diversity", "1"),
    "N": ("A threshold", "estimated"),
    "O": ("One part", "the person's center"),
    "P": ("One part", "the video's center"),
    "Q": ("One part", "liveliness"),
}


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def code(lesson: str) -> str:
    (path,) = (ROOT / "nbs" / "tutorials").glob(f"{lesson}_*.ipynb")
    return "\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code" and "%pip" not in c.source)


def typed(lesson: str, name: str):
    "What a lesson assigns to a name, where it is a literal or the first argument of a call."
    made = [n for n in ast.walk(ast.parse(code(lesson))) if isinstance(n, ast.Assign)]
    found = [n.value for n in made if getattr(n.targets[0], "id", None) == name]
    value = found[0]
    while isinstance(value, (ast.Call, ast.Attribute)):
        value = value.args[0] if isinstance(value, ast.Call) else value.value
    return ast.literal_eval(value)


def cells(text: str, section: str, begins: str) -> list[str]:
    "The cells behind the label of the one row of a section that begins so."
    part = re.split(r"^## ", text, flags=re.M)
    (body,) = (p for p in part if p.startswith(section))
    (row,) = (line for line in body.splitlines() if line.startswith(f"| {begins} | "))
    return [c.strip() for c in row.removeprefix(f"| {begins} |").strip("| ").split("|")]


def numbers(cell: str) -> tuple[float, ...]:
    return tuple(float(x) for x in re.findall(r"[-+]?\d+(?:\.\d+)?", cell))


def test_thirty_people_of_the_race_are_those_of_the_results():
    text, tables = page("results.md"), "All methods on strangers"
    for name, quoted in typed("16", "thirty").items():
        rows = [x for x in text.split(f"## {tables}")[1].split("\n## ")[0].splitlines() if x.startswith(f"| {name} | ")]
        on_stress = rows[1].split("|")[3]  # gain on pain, on stress, ...
        assert numbers(on_stress) == quoted, name
    assert "Seeds 0, 10, 20" in text and "20 clips each" in text


def test_what_methods_cost_in_the_race_is_what_the_results_say():
    price = page("results.md").split("What it costs")[1].split("## ")[0]
    ms = {r.split("|")[1].strip(): r.split("|")[5].strip() for r in price.splitlines() if r.count("|") == 7}
    readers = [float(ms[name]) for name in ("clip-autt", "tpt", "promptalign")]
    assert f"take {min(readers):.0f} to {max(readers):.0f} ms per clip, and `personal` {ms['personal']}" in "".join(
        c.source for c in nbformat.read(next((ROOT / "nbs/tutorials").glob("16_*")), 4).cells
    )


def record() -> dict[str, dict[str, str]]:
    "The record of lesson 17 by its letters."
    parts = re.findall(r'story \+?= """(?:\\n)?(.*?)"""', code("17"), re.S)
    return {row["row"]: row for row in csv.DictReader("\n".join(parts).splitlines())}


def test_the_record_of_the_search_is_its_page():
    rows, text = record(), page("search.md")
    assert list(rows) == list(SEARCH)
    for letter, row in rows.items():
        section, begins = SEARCH[letter]
        for stream in STREAMS:
            if not row[stream]:
                continue
            label = begins if section == "Which baseline" else f"{begins} | {stream}"
            assert cells(text, section, label)[-1] == row[stream], (letter, stream)


def test_the_bundled_models_of_the_search_are_its_page():
    table = page("search.md").split("## ")[0]
    tasks = typed("17", "bundled")
    for k, name in enumerate(("clip-au", "personal", "oracle")):
        (line,) = (x for x in table.splitlines() if x.startswith(f"| {name} | "))
        assert numbers(line.replace(name, "")) == tuple(tasks[t][k] for t in ("pain", "stress", "ambivalence", "mean"))


@pytest.mark.parametrize(
    ("row", "label"),
    {
        "running mean": "running baseline (k = 0)",
        "with typical person": "shrunk, k chosen inside",
        "threshold alone": "threshold alone",
        "all clips at once": "all clips of the person (not online)",
    }.items(),
)
def test_what_real_people_said_to_the_search_is_its_page(row, label):
    sections = "Self-report\n", "Stressor or rest", "Self-report within spoken tasks"
    found = tuple(numbers(cells(page("real_people.md"), s, label)[1]) for s in sections)
    assert found == typed("17", "real")[row]


def test_the_exam_names_the_dearest_departure_as_its_page_does():
    table = page("departures.md").split("## One switch")[1].split("\n## ")[0]
    rows = [line.split("|") for line in table.splitlines() if re.match(r"\| \d", line)]
    losses = [(numbers(row[-2])[0], row[1].strip()) for row in rows if numbers(row[-2])]
    worst, item = min(losses)
    assert item == "1" and f"no words: {worst} points on ambivalence" in code("22")
