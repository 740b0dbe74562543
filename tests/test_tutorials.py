"""The course: every tutorial runs, with the solutions of its exercises; what it shows is what was saved; its form is
inside the budgets."""

import re
import statistics
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import tutorials as t  # noqa: E402
from colab import badge, requirement  # noqa: E402

COURSE = t.course()
course = pytest.mark.parametrize("path", COURSE, ids=lambda p: p.stem)


def cells(path, kind):
    return [c.source for c in nbformat.read(path, 4).cells if c.cell_type == kind]


def test_the_course_is_numbered_without_a_gap_and_each_part_leads_to_the_next():
    assert len(COURSE) > 10 and [int(p.stem[:2]) for p in COURSE] == [*range(1, len(COURSE) + 1)]
    for path, after in zip(COURSE, [*COURSE[1:], COURSE[0]], strict=True):
        (line,) = (x for text in cells(path, "markdown") for x in text.splitlines() if re.match(r"(\*\*)?Next:", x))
        assert f"({after.name})" in line, f"{path.name}: {line}"


def test_the_front_page_lists_every_tutorial_in_order():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^(\d+)\. \[.*?\]\(nbs/tutorials/(\d\d_\w+\.ipynb)\) \((\d+)\)$", page, re.M) == [
        (str(number), p.name, str(t.statistics(p).minutes)) for number, p in enumerate(COURSE, 1)
    ]


@course
def test_it_runs_with_its_solutions_and_shows_what_was_saved(path, tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    found = t.differences(path)
    assert not found, "run `python tools/tutorials.py --save`: " + "\n".join(found)


def test_statistics_are_inside_the_budgets():
    for p in COURSE:
        s = t.statistics(p)
        assert s.cells <= 40 and s.longest <= 15 and 7 <= s.words_per_line < 9.5, (p.name, s, s.words_per_line)
        assert s.exercises == 3, f"{p.name}: {s.exercises} exercises"
        assert 3 <= s.questions <= 5, f"{p.name}: a quiz of {s.questions} questions"


@course
def test_minutes_are_those_of_a_reader_who_follows_every_line(path):
    assert re.findall(t.TIME, cells(path, "markdown")[0]) == [str(t.statistics(path).minutes)], (
        "run `python tools/tutorials.py --minutes`"
    )


@course
def test_exercises_are_of_three_grades_and_answers_of_the_quiz_are_run(path):
    text = "\n".join(cells(path, "markdown"))
    exercises = text[text.index("## Exercises") :]
    assert re.findall(r"^\*\*(\d)\.\*\* \*(\w+)\.\*", exercises, re.M) == [
        ("1", "Look"),
        ("2", "Change"),
        ("3", "Think"),
    ]
    questions, answers = t.quiz(path)
    assert answers.count("assert") >= questions / 2, "answers that are run"
    assert t.QUIZ.search(text)[1].count("<summary>Answers</summary>") == 1


@course
def test_it_opens_as_all_do(path):
    first, *rest = cells(path, "markdown")
    assert (
        re.match(rf"# {path.stem[:2]} · .+\n\n> .+\n\n\[!\[", first)
        and f"({badge(f'nbs/tutorials/{path.name}')})" in first
    )
    for part in ("You will learn", "Time:", "You need:"):
        assert f"**{part}**" in first, part
    assert first.count("\n- ") >= 3 or first.count("\n* ") >= 3, "three learning goals"
    assert sum("## What you know now" in x for x in rest) == 1
    assert sum("## Exercises" in x for x in rest) == 1


@course
def test_it_installs_itself_in_colab_only(path, monkeypatch):
    from types import ModuleType

    from IPython.core.interactiveshell import InteractiveShell

    source = cells(path, "code")[0]
    shell, asked = InteractiveShell(), []
    monkeypatch.setattr(shell, "run_line_magic", lambda name, line, *a, **k: asked.append((name, line)))
    shell.run_cell(source).raise_error()
    assert not asked
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    shell.run_cell(source).raise_error()
    assert asked == [("pip", f'install -q "{requirement()}"')], "run `python tools/colab.py`"


@course
def test_terms_are_linked_and_code_stands_between_prose(path):
    nb = nbformat.read(path, 4)
    assert any("docs/glossary.md#" in c.source for c in nb.cells if c.cell_type == "markdown")
    kinds = "".join(c.cell_type[0] for c in nb.cells[3:])
    assert "cccc" not in kinds, "four code cells in a row: say something"
    lengths = [len(t.code_lines(s)) for s in cells(path, "code")]
    assert statistics.median(lengths) <= 10, lengths


@course
def test_solutions_are_hidden_and_check_something(path):
    text = "\n".join(cells(path, "markdown"))
    found = t.solutions(text)
    assert all(s.strip() for s in found)
    assert "<summary>Solution</summary>" in text and text.count("<details") == text.count("</details>")
    assert sum("assert" in s or "expect" in s for s in found) >= 2, "a solution that checks nothing cannot fail"


def test_a_wrong_solution_and_a_stale_output_are_noticed(tmp_path):
    new = nbformat.v4
    exercise = "**1.**\n<details><summary>Solution</summary>\n\n```python\nassert 1 == 1\n```\n</details>"
    nb = new.new_notebook(cells=[new.new_code_cell("print(1, 'a', 2.00)"), new.new_markdown_cell(exercise)])
    nb.metadata = {"kernelspec": {"display_name": "python3", "language": "python", "name": "python3"}}
    path = tmp_path / "small.ipynb"
    nbformat.write(nb, path)
    t.save(path)
    assert t.differences(path) == []
    stale = nbformat.read(path, 4)
    stale.cells[0].outputs[0].text = "1 b 2.0\n"
    nbformat.write(stale, path)
    assert len(t.differences(path)) == 1
    stale.cells[1].source = stale.cells[1].source.replace("1 == 1", "1 == 2")
    nbformat.write(stale, path)
    with pytest.raises(Exception, match="AssertionError"):
        t.differences(path)


def test_texts_are_compared_by_words_and_nearness():
    assert t.same_text("gain 0.51 of 20", "gain 0.53 of 20") and not t.same_text("gain 0.51", "gain 0.61")
    assert t.same_text("−1.00 nats", "-1.01 nats") and not t.same_text("+1.00 nats", "-1.00 nats")
    assert not t.same_text("2 right", "2 wrong")
