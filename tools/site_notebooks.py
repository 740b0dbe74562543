"""Notebooks as pages: pictures say what they show, a widget's cell says that it is one, tutorials have a gallery."""

import ast
import html
import re
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbconvert import MarkdownExporter
from house import modules
from site_api import read_module

PICTURE = re.compile(r"!\[(?:jpeg|png|svg)\]\(([^)]+)\)")  # as nbconvert writes them


def plain(markdown: str) -> str:
    "Markdown as a line of text: no links, formulas, marks."
    text = re.sub(r"\$\$?.+?\$\$?|<[^>]+>", "", re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", markdown), flags=re.S)
    return " ".join(re.sub(r"[*`#>\[\]]", "", text).split())


DRAWING = [m for m in modules() if m.split(".")[0] in ("show", "evaluation", "signals", "series")]
WIDGETS = {
    n.name: n.summary
    for m in ("show.widgets", "show.videolab")
    for n in read_module(m).names
    if isinstance(n.node, ast.ClassDef)
}
PLOTS = {n.name: plain(n.summary) for m in DRAWING for n in read_module(m).names if n.name.startswith("plot_")}


def parsed(source: str) -> ast.Module:
    "The code of a cell, without the lines that are IPython's."
    try:
        return ast.parse(re.sub(r"^\s*[%!?].*$", "", source, flags=re.M))
    except SyntaxError:
        return ast.Module([], [])


def titles(source: str) -> list[str]:
    "Titles that a cell gives its figure in so many words."
    found = []
    for node in ast.walk(parsed(source)):
        if not isinstance(node, ast.Call):
            continue
        said = [k.value for k in node.keywords if k.arg == "title"]
        if getattr(node.func, "attr", "") in ("set_title", "suptitle", "title"):
            said += node.args[:1]
        found += [v.value for v in said if isinstance(v, ast.Constant) and isinstance(v.value, str)]
    return list(dict.fromkeys(t.strip() for t in found if t.strip()))


def drawn_by(source: str) -> list[str]:
    "What the library's own plotting functions say of what they draw."
    calls = [n.func for n in ast.walk(parsed(source)) if isinstance(n, ast.Call)]
    called = {getattr(f, "id", getattr(f, "attr", "")) for f in calls}
    return [PLOTS[name] for name in PLOTS if name in called][:1]


def described(cells: list, i: int) -> str:
    "What the pictures of cell i show: its own words for it, its title, the sentence before, the heading above."
    if said := re.search(r"^#\|\s*fig-(?:alt|cap):\s*(.+)", cells[i].source, re.M):
        return plain(said[1].strip("\"' "))
    above = [c.source for c in cells[:i] if c.cell_type == "markdown"]
    heads = re.findall(r"^#{1,4} (.+)$", "\n".join(above), re.M)
    parts = [plain(heads[-1])] if heads else []
    if i and cells[i - 1].cell_type == "markdown":
        text = plain(re.sub(r"^```.*?^```|^(?:#|\s*[|-]).*?$", "", cells[i - 1].source, flags=re.M | re.S))
        last = re.split(r"(?<=[.?!])\s+(?=[A-Z])", text)[-1] if text else ""
        parts += [last.rstrip(":")] if 0 < len(last) <= 200 else []
    words = titles(cells[i].source) or drawn_by(cells[i].source)
    return ". ".join(p.rstrip(".") for p in [*parts, "; ".join(words)] if p)


def alternatives(cells: list) -> list[str]:
    "A text for each picture of a notebook, in their order."
    found = []
    for i, cell in enumerate(cells):
        outputs = [o for o in cell.get("outputs", []) if any(k.startswith("image/") for k in o.get("data", {}))]
        text = described(cells, i) if outputs else ""
        found += [text + (f" ({k} of {len(outputs)})" if len(outputs) > 1 else "") for k in range(1, len(outputs) + 1)]
    return found


def widget(source: str) -> str | None:
    "The widget that a cell shows: its last line makes one, or names one that the cell has made."
    body = parsed(source).body
    if not body or not isinstance(body[-1], ast.Expr):
        return None
    made = {
        t.id: n.value for n in body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)
    }  # by the names that they are given
    value = body[-1].value
    value = made.get(value.id) if isinstance(value, ast.Name) else value
    name = getattr(value.func, "id", "") if isinstance(value, ast.Call) else ""
    return name if name in WIDGETS else None


def twin(cells: list, i: int) -> int | None:
    "The cell with the static picture of the widget in cell i: the first picture in the same section."
    for j in range(i, len(cells)):
        if j > i and cells[j].cell_type == "markdown" and re.search(r"^#{1,4} ", cells[j].source, re.M):
            return None
        if any(k.startswith("image/") for o in cells[j].get("outputs", []) for k in o.get("data", {})):
            return j
    return None


def note(name: str, picture: bool) -> str:
    "The caption that stands where Jupyter shows a widget."
    where = " Below is its picture." if picture else ""
    text = f"**A widget, `{name}`.** {WIDGETS[name]} It moves in Jupyter.{where}"
    return f'<div class="widget" markdown="1">\n{text}\n</div>\n'


def captioned(cells: list) -> list:
    "The cells, each widget replaced by its caption; a picture that was saved in its place is kept."
    for i, cell in enumerate(cells):
        if cell.cell_type != "code" or not (name := widget(cell.source)):
            continue
        kept = [o for o in cell.outputs if any(k.startswith("image/") for k in o.get("data", {}))]
        caption = nbformat.v4.new_output("display_data", {"text/markdown": note(name, twin(cells, i) is not None)})
        streams = [o for o in cell.outputs if o.output_type == "stream"]
        cell.outputs = [*streams, caption, *kept]
    return cells


def shown(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    "A notebook as a reader sees it: no hidden cells, no directives, no cells that are Colab's."
    kept = [c for c in nb.cells if not re.search(r"^#\|\s*hide", c.source, re.M) and "google.colab" not in c.source]
    nb.cells = [c for c in kept if re.sub(r"^#\|.*\n?", "", c.source, flags=re.M).strip()]
    return nb


def notebook_page(path: Path) -> tuple[str, dict[str, bytes]]:
    "A notebook as markdown, and its pictures."
    nb = shown(nbformat.read(path, 4))
    nb.cells = captioned(nb.cells)
    texts = iter(alternatives(nb.cells))
    for i, cell in enumerate(nb.cells):
        for data in (o.data for o in cell.get("outputs", []) if "text/html" in o.get("data", {})):
            alt = html.escape(described(nb.cells, i))
            data["text/html"] = re.sub(r"<img (?![^>]*\balt=)", f'<img alt="{alt}" ', data["text/html"])
    for cell in nb.cells:
        cell.source = re.sub(r"^#\|.*\n?", "", cell.source, flags=re.M)
        if cell.cell_type == "code":  # an output without anything in it is none
            cell.outputs = [o for o in cell.outputs if "data" not in o or o.data]
    nb.metadata["language_info"] = {"name": "python"}
    text, resources = MarkdownExporter().from_notebook_node(
        nb, {"output_files_dir": f"{path.stem}_files", "unique_key": path.stem}
    )
    return PICTURE.sub(lambda m: f"![{next(texts)}]({m[1]})", text), resources.get("outputs", {})


class Tutorial(NamedTuple):
    "What the gallery says about a tutorial."

    name: str  # file without its ending
    title: str
    about: str  # the line below the title
    minutes: str
    picture: str | None  # from the folder of tutorials
    alt: str


def tutorial(path: Path, text: str, pictures: dict[str, bytes]) -> Tutorial:
    "A tutorial's card from its page: of its pictures the richest one, the one with the most bytes."
    alts = {m[2]: m[1] for m in re.finditer(r"!\[([^\]]*)\]\(([^)]+)\)", text)}
    best = max((p for p in pictures if p in alts), key=lambda p: len(pictures[p]), default=None)
    minutes = re.search(r"\*\*Time:\*\*\s*(\d+)", text)
    return Tutorial(
        path.stem,
        re.search(r"^# (.+)", text, re.M)[1],
        plain(re.search(r"^> (.+)", text, re.M)[1]),
        minutes[1] if minutes else "",
        best,
        alts.get(best, ""),
    )


def gallery(tutorials: list[Tutorial]) -> str:
    "The first page of the course: a card for each tutorial."
    cards = []
    for t in tutorials:
        picture = f"    [![{t.alt}]({t.picture})]({t.name}.md)\n\n" if t.picture else ""
        time = f"    {t.minutes} minutes\n" if t.minutes else ""
        cards.append(f"-   **[{t.title}]({t.name}.md)**\n\n{picture}    {t.about}\n\n{time}")
    head = "# Tutorials\n\nEach is a notebook: read it here, or run it with `make lab`, `clip-autt lab` or in Colab "
    return (
        f"{head}([install](../../docs/install.md)). Words are explained in the [glossary](../../docs/glossary.md).\n\n"
        '<div class="grid cards gallery" markdown="1">\n\n' + "\n".join(cards) + "\n</div>\n"
    )
