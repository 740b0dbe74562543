"""The API of the package as pages: one of each module, one of each wing with a line for each name, one overview."""

import ast
import functools
import os
import re
import textwrap
from pathlib import Path
from typing import NamedTuple

from house import PACKAGE, WINGS, modules, wing

FIRST = {  # what people need first, in the order in which they need it
    "Ask a model about a film": ["ClipAU", "read_video", "encode", "read_aus"],
    "Get to know one person": ["PersonalBaseline", "ClipAUTT", "VideoLab"],
    "Bring films of your own": ["from_folder", "annotate_video"],
    "Compare methods": ["make_method", "evaluate", "Stream"],
}


class Name(NamedTuple):
    "A public function or class of a module."

    name: str
    node: ast.FunctionDef | ast.ClassDef
    methods: list[ast.FunctionDef]  # public ones, those of other cells included

    @property
    def summary(self) -> str:
        "The first sentence of its docstring, or what it calls or returns where it has none."
        text = " ".join((ast.get_docstring(self.node) or "").split("\n\n")[0].split())
        said = re.split(r"(?<=[.:])\s+(?=[A-Z`])", text)[0]
        return said or f"`{ast.unparse(self.node.body[-1]).splitlines()[0]}`"


class Module(NamedTuple):
    "What a page says about a module."

    name: str
    doc: str
    source: str  # its notebook, from the root of the repository
    lines: list[str]
    names: list[Name]
    constants: dict[str, str]  # how each is written


def patched_class(node: ast.FunctionDef) -> str | None:
    "The class that a function with the decorator `patch` or `patch_property` becomes a member of."
    if not any(getattr(d, "id", "").startswith("patch") for d in node.decorator_list):
        return None
    return ast.unparse(node.args.args[0].annotation)


@functools.cache
def read_module(name: str) -> Module:
    "A module, read and not imported."
    text = (PACKAGE / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8")
    tree, lines = ast.parse(text), text.splitlines()
    assigned = {}  # names of the module's first level, those of `a, b = ...` too
    for node in (n for n in tree.body if isinstance(n, (ast.Assign, ast.AnnAssign)) and n.value is not None):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        assigned |= {n.id: node for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
    public = ast.literal_eval(assigned["__all__"].value)
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
    added = [n for n in functions if patched_class(n)]
    names = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in public and node not in added:
            own = [n for n in node.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
            more = [n for n in added if patched_class(n) == node.name]
            names.append(Name(node.name, node, [*own, *more] if isinstance(node, ast.ClassDef) else []))
    written = {n: "\n".join(lines[a.lineno - 1 : a.end_lineno]) for n, a in assigned.items() if n in public}
    return Module(name, ast.get_docstring(tree) or "", re.search(r"nbs/\S+?\.ipynb", text)[0], lines, names, written)


def place(module: str) -> Path:
    "Where the page of a module lies."
    return Path("api") / f"{module.replace('.', '/')}.md"


def wing_place(name: str) -> Path:
    "Where the page of a wing lies."
    return Path("api") / "wings" / name / "index.md"


def to(target: str | Path, page: Path) -> str:
    "A link from a page to another one."
    return Path(os.path.relpath(target, page.parent)).as_posix()


def notebook(module: Module, page: Path) -> str:
    "A link to the notebook that explains a module."
    return f"[{Path(module.source).stem}]({to(module.source[:-6] + '.md', page)})"


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


def module_page(name: str) -> str:
    "Everything public in a module, with its parameters."
    module = read_module(name)
    parts = [
        f"# {name}",
        module.doc,
        f"Explained, with examples and tests, in {notebook(module, place(name))}.",
    ]
    for one in module.names:
        parts.append(entry(one.node, module.lines, 2, one.name))
        parts += [entry(n, module.lines, 3, f"{one.name}.{n.name}") for n in one.methods]
    if module.constants:
        parts += ["## Constants", "```python\n" + "\n".join(dict.fromkeys(module.constants.values())) + "\n```"]
    return "\n\n".join(parts)


def row(one: Name, module: Module, page: Path) -> str:
    "A line of a table: the name, which leads to its parameters, and what it is for."
    return f"| [`{one.name}`]({to(place(module.name), page)}#{one.name.lower()}) | {cell(one.summary)} |"


def cell(text: str) -> str:
    "Text that may stand in a table: outside code, brackets are no links."
    parts = re.split(r"(`[^`]*`)", text.replace("|", r"\|"))
    return "".join(p if p.startswith("`") else re.sub(r"([\[\]])", r"\\\1", p) for p in parts)


def of_wing(name: str) -> list[str]:
    "The modules of a wing that have names for others."
    return [m for m in modules() if wing(m) == name and (read_module(m).names or read_module(m).constants)]


def wing_page(name: str) -> str:
    "A wing: its modules with their notebooks, and a line for each name."
    page = wing_place(name)
    about = next(w.holds for w in WINGS if w.name == name)
    parts = [f"# {name}", f"{about[0].upper()}{about[1:]}."]
    for module in map(read_module, of_wing(name)):
        head = f"## {module.name}\n\n{module.doc} Explained in {notebook(module, page)}; [parameters]"
        parts.append(f"{head}({to(place(module.name), page)}).")
        if module.names:
            parts.append(
                "\n".join(["| name | what it is for |", "|---|---|", *(row(n, module, page) for n in module.names)])
            )
        if module.constants:
            parts.append("Constants: " + ", ".join(f"`{c}`" for c in module.constants) + ".")
    return "\n\n".join(parts)


def overview() -> str:
    "The first page: the dozen names that people need first, and the wings."
    page = Path("api") / "index.md"
    found = {n.name: (n, m) for m in map(read_module, reversed(modules())) for n in m.names}
    parts = [
        "# API",
        "Names are imported from their wing, as in `from clip_autt.faces import render`, and those of the core and the "
        "most used others from the package itself. The dozen that people need first:",
    ]
    for purpose, names in FIRST.items():
        rows = []
        for one, module in (found[n] for n in names):
            rows.append(f"{row(one, module, page)} {notebook(module, page)} |")
        parts += [f"## {purpose}", "\n".join(["| name | what it is for | explained in |", "|---|---|---|", *rows])]
    counts = {w.name: sum(len(read_module(m).names) for m in of_wing(w.name)) for w in WINGS}
    rows = [f"| [{w.name}]({to(wing_place(w.name), page)}) | {w.holds} | {counts[w.name]} |" for w in WINGS]
    parts += [
        "## All names, wing by wing",
        "From the lowest floor of the house to the highest; a wing imports only from those above it in this table.",
        "\n".join(["| wing | what it holds | names |", "|---|---|---:|", *rows]),
    ]
    return "\n\n".join(parts)


def pages() -> dict[str, str]:
    "All pages of the API by their places."
    found = {"api/index.md": overview()}
    found |= {wing_place(w.name).as_posix(): wing_page(w.name) for w in WINGS}
    return found | {place(m).as_posix(): module_page(m) for w in WINGS for m in of_wing(w.name)}


def navigation() -> list:
    "The overview, then wing by wing."
    wings = [
        {w.name: [wing_place(w.name).as_posix(), *({m: place(m).as_posix()} for m in of_wing(w.name))]} for w in WINGS
    ]
    return ["api/index.md", *wings]
