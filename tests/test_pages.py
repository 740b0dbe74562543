"""Pages of figures say when, with what and on what they were measured, and by which command they are made again."""

import re
import sys
from datetime import date
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import pages as p  # noqa: E402

MEASURED = sorted(x.stem for x in p.TEMPLATES.glob("*.md") if "\n\n{measured}\n\n" in x.read_text(encoding="utf-8"))
LINE = re.compile(
    r"\*Measured on (\d{4}-\d\d-\d\d) by `(make [\w-]+)`: Python [\d.]+, torch [\d.]+\S*, open_clip_torch [\d.]+, "
    r"clip_autt [\d.]+; \d+ CPU cores, \d+ GB of memory\.\*"
)


@pytest.mark.parametrize("name", MEASURED)
def test_a_page_says_when_with_what_and_by_which_command_it_was_measured(name):
    title, empty, line, *_ = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8").splitlines()
    assert title.startswith("# ") and not empty
    day, command = LINE.fullmatch(line).groups()
    assert date(2026, 11, 1) <= date.fromisoformat(day) <= date.today()
    target = command.removeprefix("make ")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    made = re.search(r"^PAGES := (.*)$", makefile, re.M)[1].split()
    assert re.search(rf"^{target}: ", makefile, re.M) and target in made, "`make pages` makes it"


def test_pages_of_figures_are_found():
    assert len(MEASURED) > 12


def test_the_line_of_this_machine_has_the_form_that_is_asked_for():
    assert LINE.fullmatch(p.measured("make pages"))
