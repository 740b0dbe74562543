"""Measure the family of methods that are told more than videos, and write docs/family.md: `make family`.

What is finished is kept in build/family, so an interrupted call goes on.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

import numpy as np
from pages import MODELS, ROOT, kept, percent, rows, write_page
from people import task_people

from clip_autt.evaluation.evaluate import evaluate
from clip_autt.evaluation.metrics import paired_bootstrap
from clip_autt.evaluation.stream import Stream
from clip_autt.faces.tasks import TASKS
from clip_autt.features import LabeledVideo
from clip_autt.method import TestTimeMethod
from clip_autt.methods.dsfda import prepare_dsfda
from clip_autt.methods.pft import prepare_translator
from clip_autt.methods.registry import TAKE_SOURCE, make_method
from clip_autt.model import ClipAU
from clip_autt.utils.files import code_hash, content_hash

KEPT = ROOT / "build" / "family"
SEEDS = 0, 10, 20, 30, 40  # each stands for ten strangers
CONTROL = 3
Make = tuple[str, Mapping]  # name in the registry, settings
PLAIN = {
    "clip-au": ("clip-au", {}),
    "personal": ("personal", {}),
    "neutral-shift": ("neutral-shift", {}),
    "neutral-scale": ("neutral-scale", {}),
    "personal+control": ("personal+control", {}),
}
TRAINED = {
    "pft": ("pft", {}),
    "pft, literal": ("pft", {}),
    "pft, released": ("pft", dict(variant="released")),
    "dsfda": ("dsfda", {}),
    "dsfda, literal": ("dsfda", dict(literal=True)),
    "dsfda, released": ("dsfda", dict(variant="released")),
    "msda": ("msda", {}),
    "msda, released": ("msda", dict(variant="released")),
}
PREPARED: dict[str, Callable[[ClipAU, list[LabeledVideo]], object]] = {  # rows that need another training at the source
    "pft, literal": prepare_translator,
    "pft, released": partial(prepare_translator, variant="released"),
    "dsfda": prepare_dsfda,
    "dsfda, literal": partial(prepare_dsfda, literal=True),
    "dsfda, released": prepare_dsfda,
}
FEW = {name: (name, {}) for name in ("few-shot", "so", "low-rank", "linear-probe", "few-shot-threshold")}
ORDERS = {
    "in order": Stream(control=CONTROL),
    "shuffled": Stream("shuffled", control=CONTROL),
    "class after class": Stream("correlated", control=CONTROL),
    "80:20": Stream("imbalanced", control=CONTROL),
    "one class": Stream("imbalanced", majority_fraction=1.0, control=CONTROL),
}
PLACES = 1, 2, 3, 10  # of scored clips in the order in which a person makes them


@cache
def prepared(task: str, row: str) -> ClipAU:
    "The head of a task with what a row needs beside it."
    model, source, _, _ = task_people(task, SEEDS)
    if row not in PREPARED:
        return model
    model = copy.copy(model)  # which gets attachments of its own
    PREPARED[row](model, source)
    return model


def made(task: str, methods: Mapping[str, Make]) -> dict[str, TestTimeMethod]:
    "Methods by the names of their rows."
    given = lambda name: dict(source=task_people(task, SEEDS)[1]) if name in TAKE_SOURCE else {}
    return {
        row: make_method(name, prepared(task, row), **settings, **given(name))
        for row, (name, settings) in methods.items()
    }


def measured(title: str, methods: Mapping[str, Make], stream: Stream, memory: bool = False) -> dict:
    "By task and method: WAR of each person, right or wrong by place, cost."

    def run() -> dict:
        found = {}
        for task in TASKS:
            model, _, _, strangers = task_people(task, SEEDS)
            r = evaluate(made(task, methods), strangers, model, progress=False, stream=stream, n_jobs=-1, memory=memory,
                         cache_dir=KEPT / "units")  # fmt: skip
            wars, costs, table = r.per_subject().war, r.cost(), r.table
            place = table.groupby(["method", "subject"]).cumcount() + 1
            right = (table.predicted == table.label).groupby([table.method, place]).mean()
            found[task] = {
                m: dict(
                    war=wars[m].to_dict(),
                    by_place={str(p): float(right[m, p]) for p in PLACES},
                    cost={k: float(x) for k, x in costs.loc[m].items()},
                    videos=len(r.of(m)),
                )
                for m in r.methods
            }
            print(title, task, {m: round(float(wars[m].mean()), 3) for m in r.methods}, flush=True)
        return found

    facts = WEIGHTS, repr(methods), repr(stream), SEEDS
    return kept(KEPT / f"{title.replace(' ', '-')}-{content_hash(repr(facts))}.json", run)


WEIGHTS = (
    code_hash("core", "personal", "training", "methods"),
    MODELS,
)


def wars(found: dict, method: str) -> np.ndarray:
    "[tasks, people] WAR; people in the same order everywhere."
    return np.array([[run[method]["war"][who] for who in run["clip-au"]["war"]] for run in found.values()])


def gain(found: dict, method: str, reference: str) -> str:
    "Mean over tasks of the gain over another method, points with the 95 % interval over people."
    if method == reference:
        return ""
    difference = (wars(found, method) - wars(found, reference)).mean(0)
    return f"{paired_bootstrap(difference, np.zeros(len(difference))).percent:+.1f}"


def main_rows(found: dict, methods: Sequence[str], references: Sequence[str]) -> str:
    "WAR of each task with its deviation over people, mean, gains."
    lines = []
    for m in methods:
        x = wars(found, m)
        cells = [f"{percent(own.mean())} ± {percent(own.std(ddof=1))}" for own in x]
        lines.append([m, *cells, percent(x.mean()), *(gain(found, m, r) for r in references)])
    return rows(lines)


def cost_rows(found: dict, methods: Sequence[str]) -> str:
    "Values learned, passes and time for a person and for a video, memory; means over tasks."
    lines = []
    for m in methods:
        mean = {k: np.mean([run[m]["cost"][k] for run in found.values()]) for k in found["pain"][m]["cost"]}
        person = f"{mean['enroll_forward']:,.0f} / {mean['enroll_backward']:,.0f}"
        video = f"{mean['forward']:.0f} / {mean['backward']:.0f}"
        times = f"{mean['ms_enroll']:,.0f}", f"{mean['ms_per_video']:,.1f}", f"{mean['peak_mb']:.1f}"
        lines.append([m, f"{mean['n_trained']:,.0f}", person, video, *times])
    return rows(lines)


def several(runs: Mapping[str, dict], methods: Sequence[str]) -> str:
    "Mean WAR over tasks in several runs, with the gain over CLIP-AU in the same run."
    cell = lambda found, m: (
        f"{percent(wars(found, m).mean())}{' (' + gain(found, m, 'clip-au') + ')' if m != 'clip-au' else ''}"
    )
    return rows([m, *(cell(found, m) for found in runs.values())] for m in methods)


def place_rows(found: dict, methods: Sequence[str]) -> str:
    "Share of people whose clip at a place is named right, mean over tasks."
    right = lambda m, p: percent(np.mean([run[m]["by_place"][str(p)] for run in found.values()]))
    return rows([m, *(right(m, p) for p in PLACES)] for m in methods)


def main() -> None:
    everything = measured("all", PLAIN | TRAINED, Stream(control=CONTROL), memory=True)
    counts = {k: measured(f"control {k}", PLAIN | {"pft": TRAINED["pft"]}, Stream(control=k)) for k in (1, 3, 5)}
    orders = {name: measured(f"order {name}", PLAIN, stream) for name, stream in ORDERS.items()}
    shots = {k: measured(f"shots {k}", PLAIN | FEW, Stream(control=1, shots=k), memory=k == 2) for k in (1, 2, 4)}
    n_videos = everything["pain"]["clip-au"]["videos"]
    write_page(
        ROOT / "docs" / "family.md",
        "family.md",
        "make family",
        seeds=", ".join(map(str, SEEDS)),
        n_people=10 * len(SEEDS),
        n_videos=n_videos,
        control=CONTROL,
        methods=main_rows(everything, [*PLAIN, *TRAINED], ("clip-au", "neutral-shift", "personal")),
        costs=cost_rows(everything, [*PLAIN, *TRAINED]),
        counts=several(counts, [*PLAIN, "pft"]),
        orders=several(orders, [*PLAIN]),
        places=place_rows(orders["in order"], [*PLAIN]),
        shots=several(shots, [*PLAIN, *FEW]),
        few_costs=cost_rows(shots[2], [*FEW]),
    )


if __name__ == "__main__":
    main()
