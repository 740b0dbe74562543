"""The map of the course is that of its lessons, and nobody is sent to a lesson before what it needs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import course_map as m  # noqa: E402
from tutorials import course  # noqa: E402

LESSONS = {x.number: x for x in map(m.lesson, course())}


def test_the_map_is_current():
    subprocess.run([sys.executable, ROOT / "tools/course_map.py", "--check"], check=True)


@pytest.mark.parametrize(
    "way", [[*LESSONS], m.HOUR, m.DAY, [n for week in m.TERM for n in week]], ids=["all", "hour", "day", "term"]
)
def test_what_a_lesson_needs_comes_before_it(way):
    seen = set()
    for n in way:
        assert {*LESSONS[n].needs} <= seen, f"{n:02} needs {LESSONS[n].needs}"
        seen.add(n)


def test_a_term_has_every_lesson_but_the_one_with_the_exam_and_weeks_fit():
    assert sorted(n for week in m.TERM for n in week) == [*LESSONS][:-1]
    assert all(sum(LESSONS[n].minutes for n in week) <= 60 for week in m.TERM), "the rest of 90 minutes is exercises"
    assert sum(LESSONS[n].minutes for n in m.HOUR) <= 60 < sum(LESSONS[n].minutes for n in m.DAY) <= 300


def test_needs_are_read_from_the_first_cell():
    assert LESSONS[1].needs == () and LESSONS[4].needs == (3,)
    assert LESSONS[11].needs == (8, 9, 10)
