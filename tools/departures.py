"""What each departure of the released CLIP-AUTT code does, one at a time: writes docs/departures.md.

python tools/departures.py                                    # the embedded benchmark: seeds 0, 10, 20, 30, 40
python tools/departures.py --seeds 30000 30010 --page x.md    # other strangers, another page
"""

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from departure_rows import ROWS
from departure_setups import ASSETS, PAPER, RELEASED, Setup, measure, prepare, source, strangers
from joblib import Parallel, delayed
from pages import ROOT, write_page

from clip_autt.backbone import UnseenTokenWarning
from clip_autt.faces.tasks import TASKS

SEEDS = 0, 10, 20, 30, 40


def cell(folder: Path, task: str, seeds: Sequence[int], pair: tuple[Setup, Setup] | None, tasks: Sequence[str]) -> str:
    "Change of WAR in points: mean and standard deviation over seeds."
    if pair is None or task not in tasks:
        return "–"
    off, on = ([measure(folder, task, s, setup)["war"] for s in seeds] for setup in pair)
    change = 100 * np.subtract(on, off)
    spread = f" ± {change.std(ddof=1):.1f}" if len(seeds) > 1 else ""
    return f"{round(float(change.mean()), 1) + 0.0:+.1f}{spread}"  # no minus before a zero


def table(folder: Path, seeds: Sequence[int], column: str) -> str:
    "Rows of one of the two tables."
    lines = []
    for r in ROWS:
        pair = getattr(r, column)
        cells = " | ".join(cell(folder, task, seeds, pair, r.tasks) for task in TASKS)
        if column == "paper":
            lines.append(f"| {r.item} | {r.what} | {r.how} | {cells} |")
        elif pair:
            lines.append(f"| {r.item} | {r.how.split(',')[0].split(':')[0]} | {cells} |")
    return "\n".join(lines)


def level(folder: Path, seeds: Sequence[int], name: str, setup: Setup) -> str:
    wars = [[measure(folder, task, s, setup)["war"] for s in seeds] for task in TASKS]
    return f"| {name} | " + " | ".join(f"{np.mean(w):.3f}" for w in wars) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="first subject of each group of ten")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "results", help="where results are kept")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "departures.md")
    parser.add_argument("--jobs", type=int, default=-1, help="processes; -1 for one per core")
    args = parser.parse_args()
    for folder in (args.folder, ASSETS):
        folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore", UnseenTokenWarning)
    pairs = [
        (task, setup) for r in ROWS for pair in (r.paper, r.released) if pair for task in r.tasks for setup in pair
    ]
    for task in TASKS:
        for seed in args.seeds:
            strangers(task, seed, args.jobs)
        source(task, args.jobs)
    Parallel(n_jobs=args.jobs)(
        delayed(prepare)(task, name) for task, name in dict.fromkeys((task, s.head) for task, s in pairs)
    )
    todo = dict.fromkeys((task, seed, setup) for task, setup in pairs for seed in args.seeds)
    Parallel(n_jobs=args.jobs)(delayed(measure)(args.folder, *what) for what in todo)
    levels = "\n".join(
        level(args.folder, args.seeds, name, setup) for name, setup in (("as described", PAPER), ("released", RELEASED))
    )
    tables = {column: table(args.folder, args.seeds, column) for column in ("paper", "released")}
    write_page(
        args.page,
        "departures.md",
        "make departures",
        seeds=", ".join(map(str, args.seeds)),
        n=200 * len(args.seeds),
        tasks=" | ".join(TASKS),
        levels=levels,
        **tables,
    )


if __name__ == "__main__":
    main()
