"""Tutorials with their hidden solutions: run them, count their words, keep widget views out of what is saved.

`python tools/tutorials.py`            prints the statistics of all tutorials
`python tools/tutorials.py --save N…`  runs tutorials (all without a name), saves their outputs; solutions are not run
`python tools/tutorials.py --check N…` runs tutorials with the solutions of their exercises, compares with what is saved
`python tools/tutorials.py --minutes`  writes into each tutorial how long it takes to read
"""

import copy
import math
import os
import platform
import re
import sys
import time
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "nbs" / "tutorials"
VIEW = "application/vnd.jupyter.widget-view+json"
STILL = "clip-autt-still"  # what a widget shows when its kernel is gone; here its picture follows in a cell of its own
DETAILS = re.compile(r"<details>(.*?)</details>", re.S)
FENCE = re.compile(r"^```python\n(.*?)^```", re.S | re.M)
QUIZ = re.compile(r"^## Check yourself\n(.*?)</details>", re.S | re.M)
TIME = re.compile(r"\*\*Time:\*\* (\d+) minutes")
if platform.machine() in ("x86_64", "AMD64"):  # what is saved has the same last digits on all of these
    os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")
WORDS_PER_MINUTE, LINES_PER_MINUTE = 200, 12  # of a reader who follows every line of code


def course() -> list[Path]:
    "The numbered tutorials."
    return sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))


def solutions(markdown: str) -> list[str]:
    "The code in the folded parts of a markdown cell."
    return ["\n".join(FENCE.findall(part)) for part in DETAILS.findall(markdown)]


def with_solutions(nb):
    "A copy of a notebook where each hidden solution follows its exercise as a code cell."
    nb = copy.deepcopy(nb)
    cells = []
    for cell in nb.cells:
        cells.append(cell)
        if cell.cell_type == "markdown":
            cells += [nbformat.v4.new_code_cell(s, metadata={"solution": True}) for s in solutions(cell.source)]
    nb.cells = cells
    return nb


def execute(nb, folder: Path = FOLDER, timeout_s: int = 600):
    "Run all cells in a fresh kernel; an error raises `CellExecutionError`."
    NotebookClient(
        nb,
        timeout=timeout_s,
        kernel_name="python3",
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    return nb


def without_views(nb):
    "Live widgets show nothing in a saved notebook: their outputs are dropped, with the stills that stand in for them."
    nb.metadata.pop("widgets", None)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                o
                for o in cell.outputs
                if VIEW not in o.get("data", {}) and STILL not in o.get("data", {}).get("text/html", "")
            ]
    return nb


def shown(cell) -> list[str]:
    "What a code cell shows, as text; a picture as the name of its kind."
    texts, before = [], None
    for o in without_views(nbformat.v4.new_notebook(cells=[copy.deepcopy(cell)])).cells[0].outputs:
        data, stream = o.get("data", {}), o.get("name")
        if stream and stream == before:  # a kernel cuts what is printed where it likes
            texts[-1] += o.text
            continue
        before = stream
        picture = next((k for k in data if k.startswith("image/")), None)
        html = re.sub(r"<[^>]+>", " ", data.get("text/html", ""))
        texts.append(
            o.get("text") or (picture and "picture") or html or data.get("text/markdown") or data.get("text/plain", "")
        )
    return texts


NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def same_text(a: str, b: str, tolerance: float = 0.05) -> bool:
    "Equal words, and numbers as near as two machines come."

    def value(x):
        return float(x.replace("−", "-"))

    if NUMBER.sub("#", a).split() != NUMBER.sub("#", b).split():
        return False
    pairs = zip(NUMBER.findall(a), NUMBER.findall(b))
    return all(abs(value(x) - value(y)) <= tolerance * max(1, abs(value(x))) for x, y in pairs)


class Statistics(NamedTuple):
    cells: int
    lines: int  # of code and of the quiz's answers, without blank lines, comments and the install cell
    longest: int  # code lines of the longest cell
    words: int  # of prose, without code, links' targets and tags
    exercises: int
    questions: int  # of the quiz

    @property
    def words_per_line(self) -> float:
        return self.words / self.lines

    @property
    def minutes(self) -> int:
        "To read words and code, rounded up to five; exercises come on top."
        return 5 * math.ceil((self.words / WORDS_PER_MINUTE + self.lines / LINES_PER_MINUTE) / 5)


def prose(markdown: str) -> str:
    "A markdown cell without code blocks, HTML tags, pictures and the targets of links."
    text = re.sub(r"```.*?```", " ", markdown, flags=re.S)
    text = re.sub(r"\[?!\[[^\]]*\]\([^)]*\)(\]\([^)]*\))?|<[^>]+>", " ", text)
    return re.sub(r"\]\([^)]*\)", "]", text)


def code_lines(source: str) -> list[str]:
    return [x for x in source.splitlines() if x.strip() and not x.strip().startswith("#")]


def quiz(path: Path) -> tuple[int, str]:
    "How many questions the quiz of a tutorial asks, and the code of its answers."
    text = "\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown")
    found = QUIZ.search(text)
    if not found:
        return 0, ""
    questions, answers = found[1].split("<details>", 1)
    return len(re.findall(r"^\d\. ", questions, re.M)), "\n".join(FENCE.findall(answers))


def statistics(path: Path) -> Statistics:
    nb = nbformat.read(path, 4)
    code = [c.source for c in nb.cells if c.cell_type == "code"]
    own = [code_lines(s) for s in code if "google.colab" not in s]
    texts = [c.source for c in nb.cells if c.cell_type == "markdown"]
    questions, answers = quiz(path)
    return Statistics(
        cells=len(nb.cells),
        lines=sum(map(len, own)) + len(code_lines(answers)),
        longest=max(map(len, own)),
        words=sum(len(prose(x).split()) for x in texts),
        exercises="".join(texts).count("<summary>Solution</summary>"),
        questions=questions,
    )


def table(paths: list[Path]) -> str:
    "Statistics of some tutorials as text."
    rows = [f"{'tutorial':34} cells lines longest words words/line minutes exercises questions"]
    for p in paths:
        s = statistics(p)
        rows.append(
            f"{p.stem:34} {s.cells:5} {s.lines:5} {s.longest:7} {s.words:5} {s.words_per_line:10.1f} {s.minutes:7}"
            f" {s.exercises:9} {s.questions:9}"
        )
    return "\n".join(rows)


def save(path: Path) -> None:
    "Run a tutorial and save its outputs; solutions stay hidden and are not run."
    nb = without_views(execute(nbformat.read(path, 4)))
    for cell in nb.cells:
        cell.metadata = {}
    nb.metadata = {"kernelspec": {"display_name": "python3", "language": "python", "name": "python3"}}
    nbformat.write(nb, path)


def write_minutes(path: Path) -> None:
    nb = nbformat.read(path, 4)
    nb.cells[0].source = TIME.sub(f"**Time:** {statistics(path).minutes} minutes", nb.cells[0].source)
    nbformat.write(nb, path)


def differences(path: Path) -> list[str]:
    "Run a tutorial with its solutions; what it shows now against what it was saved with."
    saved = [c for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
    fresh = execute(with_solutions(nbformat.read(path, 4)))
    own = [c for c in fresh.cells if c.cell_type == "code" and not c.metadata.get("solution")]
    found = []
    for old, new in zip(saved, own, strict=True):
        a, b = shown(old), shown(new)
        if len(a) != len(b) or not all(map(same_text, a, b)):
            found.append(f"{path.name}: saved {a!r}, now {b!r}, from:\n{new.source}")
    return found


def main(args: list[str]) -> int:
    names = [a for a in args if not a.startswith("--")]
    paths = [p for p in course() if not names or any(p.stem.startswith(n) for n in names)]
    bad = 0
    for p in paths if "--minutes" in args else []:
        write_minutes(p)
    for p in paths if "--save" in args or "--check" in args else []:
        began = time.perf_counter()
        found = save(p) if "--save" in args else differences(p)
        print(f"{p.stem}: {time.perf_counter() - began:.0f} s", *(found or ()), sep="\n")
        bad += bool(found)
    print(table(paths))
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
