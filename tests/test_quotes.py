"""No stale number: what README and the tutorials say in figures is computed there, or stands on a page they link to."""

import re
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import tutorials as t  # noqa: E402
from readme import output_text, relinked  # noqa: E402

COURSE = t.course()
QUOTED = re.compile(r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?\.\d+(?![\w.]*\w)|(?<![\w.,])\d{1,3}(?:,\d{3})+(?!\w)")
ANY = re.compile(r"\d[\d,_]*\.?\d*|\.\d+")
STRANGER = re.compile(r"3[01],0\d\d")
FROM_ELSEWHERE = {  # published facts, which no code here computes; and what the reader is to work out
    "README": {"78.0", "66.5", "68.3", "81.5", "80.8", "69.8", "2603.27999"},  # the paper's table and its address
    "14": {"2508.09202"},  # an arXiv number
}


def prose(markdown: str) -> str:
    "Markdown without code, formulas and the targets of links."
    text = re.sub(r"```.*?```|`[^`\n]*`|\$[^$]*\$", " ", markdown, flags=re.S)
    return re.sub(r"\]\([^)]*\)", "]", text).replace("−", "-")


def numbers(text: str) -> set[float]:
    found = (x.replace(",", "").replace("_", "").rstrip(".") for x in ANY.findall(text.replace("−", "-")))
    return {float(x) for x in found if x}


def pages(markdown: str) -> str:
    "The pages of results to which a text links, put together."
    names = {*re.findall(r"docs/(\w+)\.md", markdown)} - {"glossary", "course"}
    files = [ROOT / "docs" / f"{name}.md" for name in sorted(names)]
    if "assets/facs-tiny/README.md" in markdown:
        files.append(ROOT / "clip_autt" / "assets" / "facs-tiny" / "README.md")
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def unfounded(markdown: str, known: set[float]) -> list[str]:
    "Quoted numbers that no known one rounds to, as it is, as a percentage or as a share. Strangers' names are none."
    quoted = [x for x in QUOTED.findall(prose(markdown)) if not STRANGER.fullmatch(x)]
    plain = [x.replace(",", "").lstrip("+-") for x in quoted]
    digits = [len(x.partition(".")[2]) for x in plain]
    rounded = {(n, round(x * k, n)) for n in {*digits} for x in known for k in (1, 100, 0.01)}
    return [x for x, y, n in zip(quoted, plain, digits, strict=True) if (n, round(float(y), n)) not in rounded]


@pytest.mark.parametrize("path", COURSE, ids=lambda p: p.stem)
def test_numbers_of_a_tutorial_are_computed_there_or_on_a_page_it_links_to(path):
    nb = nbformat.read(path, 4)
    text = "\n".join(c.source for c in nb.cells if c.cell_type == "markdown")
    code = [c for c in nb.cells if c.cell_type == "code"]
    shown = [x for c in code for x in (c.source, *t.shown(c))]
    known = numbers("\n".join([*shown, *t.solutions(text), pages(text)]))
    wrong = {*unfounded(text, known)} - FROM_ELSEWHERE.get(path.stem[:2], set())
    assert not wrong, f"{path.name}: show these numbers, or link the page they come from: {sorted(wrong)}"


def test_numbers_of_the_front_page_are_computed_there_or_on_a_page_it_links_to():
    cells = nbformat.read(ROOT / "nbs" / "index.ipynb", 4).cells
    text = relinked("\n".join(c.source for c in cells if c.cell_type == "markdown"))
    outputs = "\n".join(output_text(o, 0)[0] for c in cells if c.cell_type == "code" for o in c.outputs)
    wrong = {*unfounded(text, numbers(outputs + pages(text)))} - FROM_ELSEWHERE["README"]
    assert not wrong, f"README: {sorted(wrong)}"


def test_rows_of_the_front_pages_table_are_those_of_the_results():
    "Not any number of the page: the numbers of this method."
    results = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \**`([\w+-]+)`[^|]*\| (.+) \|$", readme[readme.index("## Results") :], re.M)
    assert len(rows) >= 5
    for method, cells in rows:
        own = "\n".join(x for x in results.splitlines() if x.startswith(f"| {method} |") or f"`{method}`" in x)
        quoted = [x.lstrip("+") for x in re.findall(r"[-+]?\d+\.\d", cells)]
        assert quoted and not [x for x in quoted if x not in own], f"{method}: {cells}\n{own}"


def test_a_stale_number_is_found():
    assert unfounded("It gains 12.7 points, of 1,234 clips, 81 %, .52.", numbers("12.71 and 1234, 0.517")) == []
    assert unfounded("It gains 12.7 points of 1,234", numbers("12.6 of 1235")) == ["12.7", "1,234"]
    assert unfounded("`1.5`, $2.5$, [x](3.5)", set()) == []
