"""The rows of docs/real_people.md: which methods answer which questions, and their scores as JSON.

The protocol is in `real_people_study.py`; `real_people.py` writes the page.
"""

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import real_people_study as study
import torch
from pages import kept
from real_people_study import (
    EACH, FEATURES, ONE, PRIORS, REST, TASKS, USUAL, Clips, Found, Method, as_is, cross_validate, enrolled, everything,
    forgetting, gain, median, quiet, read_clips, recorded, relative, scaled, self_reports, shuffled, so_far,
    somebody_else, subset, tally, task_prior, trimmed, uar, winners,
)  # fmt: skip

from clip_autt.personal import baseline, threshold

REPEATS = 10
SPOKEN = tuple(t for t in TASKS if t not in REST)
PLACES = 1, 2, 3, 5, 10
QUESTIONS = {  # name: whether labels are self-reports, and of which tasks
    "self-report": (True, TASKS),
    "stressor or rest": (False, TASKS),
    "self-report, spoken tasks": (True, SPOKEN),
}


def in_order(estimate=None):
    "Clips relative to where the person rests so far, in the order of recording."
    return lambda c, r: relative(c, so_far(c, recorded(c), *([estimate] if estimate else [])))


def out_of_order(c: Clips, r: int):
    return relative(c, so_far(c, shuffled(c, r)))


def of_another(c: Clips, r: int):
    place = recorded(c)
    return relative(c, somebody_else(c, so_far(c, place), place, r))


RAW = Method(lambda c, r: as_is(c))
SHRUNK = Method(in_order(), PRIORS)
ALL_CLIPS = "all clips of the person (not online)"
METHODS = {
    "running baseline (k = 0)": Method(in_order()),
    "shrunk, k chosen inside": SHRUNK,
    "shrunk, one k measured": Method(in_order(), (ONE,)),
    "shrunk, a k for each number measured": Method(in_order(), (EACH,)),
    ALL_CLIPS: Method(lambda c, r: relative(c, everything(c))),
    "threshold alone": Method(lambda c, r: as_is(c), threshold=True),
    "threshold on top of shrunk": Method(in_order(), PRIORS, threshold=True),
    "another person's baseline, shrunk": Method(in_order(), PRIORS, of_another),
    "running baseline, order shuffled": Method(out_of_order),
    "shrunk, order shuffled": Method(out_of_order, PRIORS),
    "shrunk, a k for each number, order shuffled": Method(out_of_order, (EACH,)),
}
ENROLLED = {f"the clip {task} alone, k chosen inside": task for task in ("Breathing", "Relax")}
VARIANTS = {
    "median over clips": Method(in_order(median), PRIORS),
    "mean without the outer fifths": Method(in_order(trimmed), PRIORS),
    "only the quieter half of the clips": Method(in_order(quiet), PRIORS),
    "forgetting, each clip counts 0.8 of the next": Method(in_order(forgetting(0.8)), PRIORS),
    "forgetting, each clip counts 0.5 of the next": Method(in_order(forgetting(0.5)), PRIORS),
    "center and scale": Method(lambda c, r: scaled(c, so_far(c, recorded(c))), PRIORS),
}
COLD = {
    "running": METHODS["running baseline, order shuffled"],
    "shrunk": METHODS["shrunk, order shuffled"],
    "shrunk, a k for each number": METHODS["shrunk, a k for each number, order shuffled"],
}


# what is measured, as JSON


class Runs:
    "Cross-validations of one set of clips, each made once."

    def __init__(self, clips: Clips, repeats: int):
        self.clips, self.repeats, self.made = clips, repeats, {}

    def __call__(self, method: Method) -> Found:
        if method not in self.made:
            self.made[method] = cross_validate(self.clips, method, self.repeats)
        return self.made[method]


def summary(clips: Clips, found: Found, raw: np.ndarray, keep: np.ndarray | None = None, usual=None) -> dict:
    "UAR, gain over raw with its interval, people who gain and lose; also against `usual` where it is given."
    t = tally(clips, found.z, keep)
    out = {"uar": 100 * float(uar(t.sum(0))), "gain": list(gain(t, raw)), "people": list(winners(t, raw))}
    right = t[..., 0].sum() / t[..., 1].sum()
    chance = np.stack([t[..., 1] / 2, t[..., 1]], -1)
    out |= {"over chance": list(gain(t, chance)), "accuracy": 100 * float(right)}
    out |= {"priors": {str(k): n for k, n in Counter(found.priors).items()}}
    return out | ({} if usual is None else {"against usual": list(gain(t, usual))})


def question(table: Path, labels: Path, name: str, features: str = USUAL) -> Clips:
    reported, tasks = QUESTIONS[name]
    return read_clips(table, self_reports(labels) if reported else None, features, tasks)


def measure_question(runs: Runs) -> dict:
    "All rows of the main table."
    clips, repeats = runs.clips, runs.repeats
    base, shrunk = (tally(clips, runs(m).z) for m in (RAW, SHRUNK))
    rows = {"raw": summary(clips, runs(RAW), base)}
    rows["most frequent label of the task"] = summary(clips, task_prior(clips, repeats), base)
    for name, method in METHODS.items():
        rows[name] = summary(clips, runs(method), base, usual=shrunk)
    enrolled_rows = {}
    for name, task in ENROLLED.items():
        rest = clips.task != task
        some = subset(clips, rest)
        plain = tally(some, cross_validate(some, RAW, repeats).z)
        method = Method(lambda c, r, task=task: relative(c, enrolled(c, task)), PRIORS)
        enrolled_rows[name] = summary(some, cross_validate(some, method, repeats), plain)
        enrolled_rows[name]["raw"] = 100 * float(uar(plain.sum(0)))
    mixed = np.random.default_rng(0).permutation(clips.y[clips.known])
    nonsense = replace(clips, y=clips.y.copy())
    nonsense.y[clips.known] = mixed
    control = cross_validate(nonsense, SHRUNK, repeats)
    rows["labels permuted, shrunk (control)"] = summary(nonsense, control, base)
    return {
        "people": clips.n_people,
        "clips": int(clips.known.sum()),
        "positive": int((clips.y == 1).sum()),
        "columns": len(clips.columns),
        "ratio": ratios(clips),
        "rows": rows,
        "enrolled": enrolled_rows,
    }


def ratios(clips: Clips) -> dict:
    "Clips that the prior is worth by `variance_ratio`, over all people: for the page, not for any row."
    people = [torch.tensor(clips.x[clips.who == p]) for p in range(clips.n_people)]
    each = baseline.variance_ratio(people).numpy()
    return {"one": float(baseline.variance_ratio(people, False)), "each": dict(zip(clips.columns, each.tolist()))}


def measure_start(runs: Runs) -> dict:
    "By the number of the clip: in an order drawn anew in each repetition, and in that of recording."
    clips, raw = runs.clips, runs(RAW)
    place = np.stack([shuffled(clips, r) for r in range(runs.repeats)])
    found = {name: runs(m) for name, m in COLD.items()}
    by_place = []
    for k in range(len(TASKS)):
        base = tally(clips, raw.z, place == k)
        rows = {name: summary(clips, f, base, place == k) for name, f in found.items()}
        by_place.append({"raw": 100 * float(uar(base.sum(0))), "rows": rows})
    order, ordered = recorded(clips), {}
    kept_order = {n: runs(METHODS[m]) for n, m in RECORDED.items()}
    for name, (lo, hi) in {"1 to 3": (0, 3), "4 to 7": (3, 7), "8 to 11": (7, 11)}.items():
        keep = (order >= lo) & (order < hi)
        if len({*clips.y[keep & clips.known]}) < 2:
            continue  # of one class only
        base = tally(clips, raw.z, keep)
        rows = {n: summary(clips, f, base, keep) for n, f in kept_order.items()}
        ordered[name] = {"raw": 100 * float(uar(base.sum(0))), "rows": rows, "clips": int((keep & clips.known).sum())}
    return {"shuffled": by_place, "recorded": ordered}


RECORDED = {
    "running": "running baseline (k = 0)",
    "shrunk": "shrunk, k chosen inside",
    "shrunk, a k for each number": "shrunk, a k for each number measured",
}


def measure_variants(runs: Runs) -> dict:
    "Other ways to say where a person rests, beside the shrunk mean."
    clips = runs.clips
    base, usual = (tally(clips, runs(m).z) for m in (RAW, SHRUNK))
    rows = {"mean over clips (the library's)": summary(clips, runs(SHRUNK), base)}
    return rows | {n: summary(clips, runs(m), base, usual=usual) for n, m in VARIANTS.items()}


def measure_features(table: Path, labels: Path, name: str, repeats: int) -> dict:
    "Raw and shrunk with other columns of the table."
    out = {}
    for features in FEATURES:
        clips = question(table, labels, name, features)
        base = tally(clips, cross_validate(clips, RAW, repeats).z)
        row = summary(clips, cross_validate(clips, SHRUNK, repeats), base)
        out[features] = row | {"raw": 100 * float(uar(base.sum(0))), "columns": len(clips.columns)}
    return out


def single_columns(table: Path, labels: Path) -> dict:
    "Area under the ROC curve of each number alone, over all clips; nothing is fitted."
    from sklearn.metrics import roc_auc_score

    out: dict[str, dict] = {}
    for name in QUESTIONS:
        clips = question(table, labels, name)
        for c, x in zip(clips.columns, clips.x.T):
            out.setdefault(c, {})[name] = float(roc_auc_score(clips.y[clips.known], x[clips.known]))
    return out


def measure(table: Path, labels: Path, folder: Path, repeats: int = REPEATS) -> dict:
    "Everything on the page but the clips; each part is computed once for these tables and this protocol."
    sources = Path(study.__file__), Path(__file__), *(Path(m.__file__) for m in (baseline, threshold))
    parts = [p.read_bytes() for p in (table, labels, *sources)] + [bytes([repeats])]
    key = hashlib.sha256(b"".join(hashlib.sha256(p).digest() for p in parts)).hexdigest()[:12]
    keep = lambda name, make: kept(folder / f"{key}-{name.replace(' ', '_').replace(',', '')}.json", make)
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    facts: dict = {"repeats": repeats}
    for name in QUESTIONS:
        runs = Runs(question(table, labels, name), repeats)
        facts[name] = keep(name, lambda r=runs: measure_question(r))
        if name in [*QUESTIONS][:2]:
            facts[f"start, {name}"] = keep(f"start {name}", lambda r=runs: measure_start(r))
            facts[f"variants, {name}"] = keep(f"variants {name}", lambda r=runs: measure_variants(r))
            make = lambda n=name: measure_features(table, labels, n, repeats)
            facts[f"features, {name}"] = keep(f"features {name}", make)
    facts["columns"] = keep("columns", lambda: single_columns(table, labels))
    return facts
