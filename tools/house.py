"""The floors of the package, written once: the tests read them here, and CONTRIBUTING and README are written from here.

`python tools/house.py --write`         writes the tables into CONTRIBUTING.md, nbs/index.ipynb (then run readme.py)
`python tools/house.py --check`         only compares
`python tools/house.py --picture FILE`  draws the imports between wings (docs/images/house.svg)
"""

import ast
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import nbformat

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "clip_autt"
BEGIN, END = "<!-- floors: written by tools/house.py -->", "<!-- end of floors -->"


class Wing(NamedTuple):
    "A folder of the package, and of nbs/."

    name: str
    holds: str  # one line
    start: str  # where to begin reading: a notebook in nbs/


WINGS = [  # from the lowest floor to the highest: imports go down only
    Wing("utils", "errors, files, weights, what comes along", "utils/00_errors"),
    Wing("video", "from film to face crops, by time stamps", "video/02_io"),
    Wing("core", "CLIP-AU and CLIP-AUTT: action units, backbone, windows, prompts, training", "core/11_autt"),
    Wing("data", "your own clips, BioVid, StressID, BAH, embeddings on disk", "data/00_manifest"),
    Wing("series", "action-unit tables instead of films", "series/00_au_series"),
    Wing("signals", "voice and body beside the face, and fusion", "signals/00_signals"),
    Wing("words", "faces told in words, to CLIP or a language model", "words/00_sentences"),
    Wing("personal", "our method: the personal baseline", "personal/03_method"),
    Wing("training", "other ways to train: MSDA, SO, PKDOT, stochastic softmax", "training/00_so"),
    Wing("methods", "rivals and relatives, one notebook each", "methods/05_tent"),
    Wing("faces", "rendered people, their tasks, training of the bundled CLIP", "faces/13_tasks"),
    Wing("evaluation", "protocols, metrics, tables, explanations, BAH, ABAW", "evaluation/03_evaluate"),
    Wing("show", "plots, the report, annotated videos, widgets", "show/00_plots"),
    Wing("cli", "the command line", "cli/03_main"),
]
FLOORS = tuple(w.name for w in WINGS)


def wing(module: str) -> str:
    "The folder of a module; the modules at the root are the core."
    return module.split(".")[0] if "." in module else "core"


def modules() -> list[str]:
    "All modules of the package, such as 'autt' and 'methods.tent'."
    paths = (p.relative_to(PACKAGE).with_suffix("") for p in PACKAGE.rglob("*.py"))
    return sorted(".".join(p.parts) for p in paths if p.name not in ("__init__", "_modidx"))


def imports(module: str) -> set[str]:
    "What a module imports from this package anywhere in its code, relative or not."
    tree, found = ast.parse((PACKAGE / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            name = ".".join([*module.split(".")[: -node.level], *([node.module] if node.module else [])])
            found |= {name} if node.module else {f"{name}.{a.name}".strip(".") for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "clip_autt":
            found.add(node.module.removeprefix("clip_autt").lstrip("."))
    return found - {""}


def between_wings() -> Counter:
    "How many modules of one wing import a module of another one, as {(from, to): n}."
    pairs = Counter()
    for module in modules():
        pairs.update({(wing(module), wing(other)) for other in imports(module)} - {(wing(module),) * 2})
    return pairs


def floor_table() -> str:
    "The table of CONTRIBUTING, the highest floor first."
    rows = [f"| {FLOORS.index(w.name)} | `{w.name}` | {w.holds} |" for w in reversed(WINGS)]
    return "\n".join(["| floor | wing | what it holds |", "|---:|---|---|", *rows])


def wing_list() -> str:
    "The list of the front page, the core first."
    order = sorted(WINGS, key=lambda w: w.name != "core")
    return "\n".join(f"- [{w.name}]({w.start}.ipynb): {w.holds}" for w in order)


def contributing() -> str:
    "CONTRIBUTING.md with the present table."
    before, rest = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split(BEGIN)
    return f"{before}{BEGIN}\n\n{floor_table()}\n\n{END}{rest.split(END)[1]}"


def index():
    "The front page with the present list, which has a cell of its own."
    nb = nbformat.read(ROOT / "nbs/index.ipynb", 4)
    next(c for c in nb.cells if c.source.startswith("- [core](")).source = wing_list()
    return nb


def is_current() -> bool:
    "Whether both pages show the present table."
    return contributing() == (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8") and index() == nbformat.read(
        ROOT / "nbs/index.ipynb", 4
    )


def picture(path: Path) -> None:
    "Draw the floors, and for each wing how many of its modules import something from which wing below."
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "clip_autt", "svg.fonttype": "none", "font.size": 10})
    size, pairs = Counter(map(wing, modules())), between_wings()
    fig, ax = plt.subplots(figsize=(9, 5.4), layout="constrained")
    for floor, w in enumerate(WINGS):
        ax.barh(floor, floor, 0.86, color="#eef3f8")
        ax.barh(floor, 1, 0.86, floor, color="#0173b2" if w.name == "core" else "#7fb3d5")
        ax.text(floor + 0.5, floor, size[w.name], ha="center", va="center", color="white", weight="bold")
        ax.text(floor + 1.15, floor, w.name, va="center", weight="bold")
    for (above, below), n in sorted(pairs.items()):
        row, column = FLOORS.index(above), FLOORS.index(below)
        wrong = column > row
        ax.text(
            column + 0.5,
            row,
            n,
            ha="center",
            va="center",
            color="#d55e00" if wrong else "black",
            weight="bold" if wrong else "normal",
        )
    ax.set(
        xlim=(0, len(WINGS) + 2),
        ylim=(-0.5, len(WINGS) - 0.5),
        xticks=[i + 0.5 for i in range(len(WINGS))],
        xticklabels=FLOORS,
        yticks=range(len(WINGS)),
        yticklabels=[f"floor {i}" for i in range(len(WINGS))],
        xlabel="imported wing",
    )
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_title(
        f"{len(modules())} modules, {size['core']} of them at the root. Blue: the modules of a wing. "
        "Black: how many of them import\n"
        "from the wing named below. Imports go down only, so nothing stands to the right of the stairs.",
        fontsize=9,
        loc="left",
    )
    fig.savefig(path, metadata={"Date": None, "Creator": None} if path.suffix == ".svg" else None)
    plt.close(fig)


if __name__ == "__main__":
    if "--picture" in sys.argv:
        picture(ROOT / sys.argv[sys.argv.index("--picture") + 1])
    elif "--write" in sys.argv:
        (ROOT / "CONTRIBUTING.md").write_text(contributing(), encoding="utf-8")
        nbformat.write(index(), ROOT / "nbs/index.ipynb")
    elif "--check" in sys.argv:
        sys.exit(0 if is_current() else "the tables of the floors are not current: run `python tools/house.py --write`")
    else:
        print(floor_table())
