"""The documentation as a site, offline: `python tools/docs_site.py [FOLDER]`, by default build/site.

`--strict` fails on any link that leads nowhere. Pages keep the places of their sources (docs/, nbs/, nbs/tutorials/),
so that the links which work in the repository work here.
"""

import ast
import os
import re
import shutil
import sys
import textwrap
from pathlib import Path

import mkdocs.commands.build
import nbformat
from latex2mathml.converter import convert
from mkdocs.config import load_config
from house import WINGS
from nbconvert import MarkdownExporter

from clip_autt.cli.course import ONLINE, outside_code

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build"
MATH = re.compile(r"\$\$(.+?)\$\$|(?<![\w$\\])\$(?!\s)([^$\n]+?)(?<!\s)\$(?![\w$])", re.S)
LINK = re.compile(r"(?<=\]\()([^)\s:#]+)((?:#[^)\s]*)?)(?=\))")
BADGE = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\(([^)]*)\)")
HOWTO = (
    """openface action_units own_clips own_backbone own_method own_au_bank reproduce_the_paper gpu cluster""".split()
)
PAGES = """results family beyond real_people personal_settings faces films real_faces detector action_units search
departures explanations benchmarks scale reliability""".split()


def mathml(text: str) -> str:
    "LaTeX as MathML, which browsers draw by themselves; code is left alone."

    def one(found: re.Match) -> str:
        display = found[1] is not None
        latex = re.sub(r"\\arg\b", r"\\operatorname{arg}", (found[1] or found[2]).strip())
        return convert(latex, display="block" if display else "inline")

    return outside_code(lambda prose: MATH.sub(one, prose), text)


def relinked(text: str, place: Path) -> str:
    "Links to notebooks become links to their pages; files that are no page are looked at online."

    def one(found: re.Match) -> str:
        path, anchor = found[1], found[2]
        target = (ROOT / place / path).resolve()
        if path.endswith(".ipynb") and target.exists():
            inside = target.relative_to(ROOT)
            return (
                os.path.relpath("index.md" if inside == Path("nbs/index.ipynb") else inside.with_suffix(".md"), place)
                + anchor
            )
        page = target.suffix == ".md" and (target.parent in (ROOT, ROOT / "docs", ROOT / "docs" / "howto"))
        if page and target == ROOT / "README.md":
            return os.path.relpath("index.md", place) + anchor
        if (
            not target.is_relative_to(ROOT)
            or page
            or target.suffix in (".png", ".gif", ".jpg", ".jpeg", ".svg", ".webp")
            or not target.exists()
        ):
            return path + anchor
        return ONLINE + str(target.relative_to(ROOT)) + anchor

    return outside_code(lambda prose: LINK.sub(one, prose), text)


def page(text: str, place: Path) -> str:
    "Markdown of the repository as markdown of the site."
    text = BADGE.sub(r"[Open in Colab](\1)", text)  # a picture from elsewhere
    return relinked(mathml(text), place).replace("<details", '<details markdown="1"')


def notebook_page(path: Path) -> tuple[str, dict[str, bytes]]:
    "A notebook as markdown, and its pictures."
    nb = nbformat.read(path, 4)
    nb.cells = [c for c in nb.cells if not re.search(r"^#\|\s*hide", c.source, re.M) and "google.colab" not in c.source]
    for cell in nb.cells:
        cell.source = re.sub(r"^#\|.*\n?", "", cell.source, flags=re.M)
    nb.cells = [c for c in nb.cells if c.source.strip()]
    nb.metadata["language_info"] = {"name": "python"}
    text, resources = MarkdownExporter().from_notebook_node(
        nb, {"output_files_dir": f"{path.stem}_files", "unique_key": path.stem}
    )
    return page(text, path.parent.relative_to(ROOT)), resources.get("outputs", {})


def title(text: str) -> str:
    "The first heading of a page."
    return re.search(r"^# (.+)", text, re.M)[1]


def signature(node: ast.AST, lines: list[str]) -> str:
    "The head of a function, or of a class with its fields, as it stands in the source with its comments."
    if isinstance(node, ast.ClassDef):
        init = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        fields = [
            lines[i] for n in node.body if isinstance(n, ast.AnnAssign) for i in range(n.lineno - 1, n.end_lineno)
        ]
        return "\n".join([lines[node.lineno - 1], *fields, *(signature(n, lines) for n in init)])
    first = node.body[0]
    if first.lineno == node.lineno:
        return lines[node.lineno - 1][: first.col_offset].rstrip()
    return "\n".join(lines[node.lineno - 1 : first.lineno - 1]).rstrip()


def entry(node: ast.AST, lines: list[str], level: int, name: str) -> str:
    "One function or class: name, what it is for, parameters."
    head = textwrap.dedent(signature(node, lines)).strip("\n")
    return f"{'#' * level} {name}\n\n{ast.get_docstring(node) or ''}\n\n```python\n{head}\n```"


def patched_class(node: ast.FunctionDef) -> str | None:
    "The class that a function with the decorator `patch` or `patch_property` becomes a member of."
    if not any(getattr(d, "id", "").startswith("patch") for d in node.decorator_list):
        return None
    return ast.unparse(node.args.args[0].annotation)


def api_page(module: str) -> str:
    "Everything public in a module, with its parameters."
    path = ROOT / "clip_autt" / f"{module.replace('.', '/')}.py"
    text = path.read_text(encoding="utf-8")
    tree, lines = ast.parse(text), text.splitlines()
    source = re.search(r"nbs/\S+?\.ipynb", text)[0]
    public = next(
        ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "__all__"
    )
    up = "../" * (1 + module.count("."))
    parts = [
        f"# {module}",
        ast.get_docstring(tree) or "",
        f"Explained, with examples and tests, in [{Path(source).stem}]({up}{source[:-6]}.md).",
    ]
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
    added = [n for n in functions if patched_class(n)]
    for node in tree.body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name not in public or node in added:
            continue
        parts.append(entry(node, lines, 2, node.name))
        if isinstance(node, ast.ClassDef):
            own = [n for n in node.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
            methods = [*own, *(n for n in added if patched_class(n) == node.name)]
            parts += [entry(n, lines, 3, f"{node.name}.{n.name}") for n in methods]
    return "\n\n".join(parts)


def modules() -> list[str]:
    "Names of the package's modules."
    paths = (ROOT / "clip_autt").rglob("*.py")
    names = (".".join(p.relative_to(ROOT / "clip_autt").with_suffix("").parts) for p in paths)
    return sorted(n for n in names if not n.split(".")[-1].startswith("_"))


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def sources(folder: Path) -> list:
    "Write all pages to a folder; what comes back is the navigation."
    shutil.rmtree(folder, ignore_errors=True)
    write(folder, "index.md", page((ROOT / "README.md").read_text(encoding="utf-8"), Path(".")))
    for p in [*ROOT.glob("docs/**/*.md"), ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]:
        place = p.relative_to(ROOT)
        write(folder, str(place), page(p.read_text(encoding="utf-8"), place.parent))
    shutil.copytree(ROOT / "docs" / "images", folder / "docs" / "images")
    titles = {}
    for p in sorted(ROOT.glob("nbs/*/*.ipynb")):
        place, (text, pictures) = p.relative_to(ROOT).with_suffix(".md"), notebook_page(p)
        titles[place] = title(text)
        write(folder, str(place), text)
        for name, data in pictures.items():
            (folder / place.parent / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / place.parent / name).write_bytes(data)
    for m in modules():
        write(folder, f"api/{m.replace('.', '/')}.md", api_page(m))
    return navigation(titles)


def navigation(titles: dict[Path, str]) -> list:
    "Tabs and their pages."

    def of(place: str) -> list:
        return [{t: str(p)} for p, t in titles.items() if str(p.parent) == place]

    return [
        {"Home": "index.md"},
        {"Tutorials": [*of("nbs/tutorials"), {"Glossary": "docs/glossary.md"}]},
        {"How to": [f"docs/howto/{name}.md" for name in HOWTO]},
        {"Results": [f"docs/{name}.md" for name in PAGES]},
        {"The library, explained": [{w.name: of(f"nbs/{w.name}")} for w in WINGS]},
        {"API": [{m: f"api/{m.replace('.', '/')}.md"} for m in modules()]},
        {"Project": ["CHANGELOG.md", "CONTRIBUTING.md"]},
    ]


def build(site: Path, strict: bool) -> None:
    "Write the pages and build the site."
    nav = sources(BUILD / "site_pages")
    mkdocs.commands.build.build(load_config(str(ROOT / "mkdocs.yml"), nav=nav, strict=strict, site_dir=str(site)))


if __name__ == "__main__":
    names = [a for a in sys.argv[1:] if not a.startswith("--")]
    target = Path(names[0]).resolve() if names else BUILD / "site"
    build(target, "--strict" in sys.argv)
    shown = os.path.relpath(target)
    print(f"open {shown}/index.html, or with the search: python -m http.server -d {shown}")
