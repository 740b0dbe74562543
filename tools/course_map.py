"""Write the map of the course, docs/course.md, and the list of lessons in nbs/index.ipynb from the tutorials.

`--check` only compares. Then `make readme` hands the list on.
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple

import nbformat
from pages import ROOT, TEMPLATES, rows
from tutorials import course, statistics

PAGE, INDEX = ROOT / "docs" / "course.md", ROOT / "nbs" / "index.ipynb"
LIST = re.compile(r"(?:^\d+\. \[[^\n]*\n)+", re.M)
HOUR = (1, 2, 18)
DAY = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 18)
TERM = ((1, 2), (3, 4), (5,), (6,), (7,), (8, 9), (10,), (11,), (12,), (13,), (14, 15), (16, 17), (18, 19), (20, 21))


class Lesson(NamedTuple):
    number: int
    file: str
    title: str
    question: str  # the line under the title
    needs: tuple[int, ...]  # lessons that come before
    minutes: int


def lesson(path: Path) -> Lesson:
    first = nbformat.read(path, 4).cells[0].source
    needs = re.search(r"\*\*You need:\*\* (.*?)\. ", first)[1]
    numbers = [int(x) for x in re.findall(r"\((\d\d)_", needs)]
    if " to [" in needs:  # tutorials 08 to 10
        last = re.search(r" to \[\d+\]\((\d\d)_", needs)
        start = numbers[numbers.index(int(last[1])) - 1]
        numbers = sorted({*numbers, *range(start, int(last[1]))})
    return Lesson(
        number=int(path.stem[:2]),
        file=path.name,
        title=re.match(r"# \d\d · (.+)", first)[1],
        question=re.search(r"^> (.+)", first, re.M)[1],
        needs=tuple(numbers),
        minutes=statistics(path).minutes,
    )


def numbers(some: tuple[int, ...]) -> str:
    return ", ".join(f"{n:02}" for n in some) or "nothing"


def page(lessons: dict[int, Lesson]) -> str:
    "The map: a table of all lessons, and which to take in an hour, a day, a term."

    def minutes(some):
        return sum(lessons[n].minutes for n in some)

    def link(n):
        return f"[{lessons[n].title}](../nbs/tutorials/{lessons[n].file})"

    return (
        (TEMPLATES / "course.md")
        .read_text(encoding="utf-8")
        .format(
            n=len(lessons),
            hours=round(minutes(lessons) / 60),
            lessons=rows((f"{n:02}", link(n), x.question, x.minutes, numbers(x.needs)) for n, x in lessons.items()),
            hour=", ".join(map(link, HOUR)),
            hour_minutes=minutes(HOUR),
            day=", ".join(f"{n:02}" for n in DAY),
            day_hours=f"{minutes(DAY) / 60:.0f}",
            term=rows((i, ", ".join(map(link, w)), minutes(w)) for i, w in enumerate(TERM, 1)),
            last=len(TERM) + 1,
            teach=link(max(lessons)),
        )
    )


def front_page(lessons: dict[int, Lesson]):
    "The notebook of the front page with the list of today's lessons."
    lines = "".join(f"{n}. [{x.title}](tutorials/{x.file}) ({x.minutes})\n" for n, x in lessons.items())
    nb = nbformat.read(INDEX, 4)
    cell = next(c for c in nb.cells if "## The course" in c.source)
    cell.source = LIST.sub(lambda _: lines, cell.source, count=1)
    return nb


if __name__ == "__main__":
    lessons = {x.number: x for x in map(lesson, course())}
    text, nb = page(lessons), front_page(lessons)
    if "--check" in sys.argv:
        stale = PAGE.read_text(encoding="utf-8") != text or nbformat.read(INDEX, 4) != nb
        sys.exit("the map of the course is older than its lessons: run `python tools/course_map.py`" if stale else 0)
    PAGE.write_text(text, encoding="utf-8")
    nbformat.write(nb, INDEX)
