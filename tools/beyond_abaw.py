"""Valence, arousal and action units frame by frame: a part of docs/beyond.md (`make beyond`).

What is measured is kept in build/beyond, under a name that holds weights, code and settings.
"""

import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from pages import MODELS, ROOT, kept, percent, table
from people import task_people

from clip_autt.evaluation.abaw import ABAW_TASKS, NamedRows, abaw_score, score_file, write_answers
from clip_autt.evaluation.au_intensity import (
    AUScale,
    au_scores_table,
    fit_au_scale,
    mean_of_shown,
    rendered_intensities,
)
from clip_autt.evaluation.metrics import paired_bootstrap
from clip_autt.faces.head import BANK
from clip_autt.faces.tasks import SOURCE_DOMAIN, TARGET_DOMAIN, TASKS
from clip_autt.features import LabeledVideo, VideoFeatures, by_subject
from clip_autt.methods.au_instability import au_series
from clip_autt.model import ClipAU
from clip_autt.personal.baseline import population_baseline
from clip_autt.personal.rule import EMBEDDING_RULE, BaselineRule
from clip_autt.training.valence import (
    AFFECT_RULE,
    PersonalAffect,
    fit_affect,
    fit_personal_affect,
    rest_views,
    resting_answer,
    shifted_answers,
    valence_arousal,
)
from clip_autt.utils.files import code_hash, content_hash

KEPT = ROOT / "build" / "beyond"
SEEDS = 0, 10, 20  # each stands for ten strangers
CONTROL = 3  # films of a resting face, which are not scored
STRENGTHS = 1e-5, 1e-4, 1e-3, 1e-2, 1e-1
RIDGE = dict(plain=1e-5, relative=1e-3)  # the best of them for each kind of head, on validation people
AUS = [au.id for au in BANK]
WEIGHTS = (
    code_hash("core", "personal", "training"),
    MODELS,
)
People = dict[str, tuple[list[LabeledVideo], list[LabeledVideo]]]  # control and scored clips of each
Answer = Callable[[list[VideoFeatures], list[VideoFeatures]], Sequence[torch.Tensor]]  # of control and scored clips
ROWS = {
    "constant": "the mean of the source people, always",
    "plain": "ridge regression, nobody known",
    "shifted": f"its answers shifted by {CONTROL} films at rest",
    "clip": "relative to rest by the rule of the class heads, so far",
    "view": f"the second row's line on frames relative to rest, {CONTROL} films at rest and the clips so far",
    "so far": "relative to rest, learned from the clips so far",
    "control": f"relative to rest, {CONTROL} films at rest alone",
    "both": f"**relative to rest, {CONTROL} films at rest and the clips so far**",
}
RULES = {f"{k} clip{'s' * (k != 1)}": replace(AFFECT_RULE, prior_clips=float(k)) for k in (0, 1, 2, 4, 8)} | {
    "4 clips; half of the clip's own center": replace(AFFECT_RULE, video_weight=0.5),
    "4 clips; the spread too": replace(AFFECT_RULE, spread_clips=4.0),
}


def split(videos: Sequence[LabeledVideo]) -> People:
    "For each person the first clips of the neutral class, and all others in order."
    found = {}
    for who, own in by_subject(videos).items():
        control = [x for x in own if x.label == "neutral"][:CONTROL]
        names = {x.video.id for x in control}
        found[who] = control, [x for x in own if x.video.id not in names]
    return found


def features(videos: Sequence[LabeledVideo]) -> list[VideoFeatures]:
    return [x.video for x in videos]


@cache
def truths(task: str) -> dict[str, np.ndarray]:
    "True intensities [T, N] by the name of the clip."
    _, source, validation, strangers = task_people(task, SEEDS)
    parts = (source, SOURCE_DOMAIN), (validation, SOURCE_DOMAIN), (strangers, TARGET_DOMAIN)
    return {x.video.id: y for own, domain in parts for x, y in zip(own, rendered_intensities(own, task, domain))}


def affect(task: str, videos: Sequence[LabeledVideo]) -> list[np.ndarray]:
    "True valence and arousal [T, 2] of each clip."
    return [valence_arousal(truths(task)[x.video.id], AUS) for x in videos]


def relative(task: str, rule: BaselineRule, strength: float = RIDGE["relative"]) -> PersonalAffect:
    "A head fitted on source people relative to their rest."
    people = by_subject(task_people(task, SEEDS)[1]).values()
    return fit_personal_affect(
        [features(own) for own in people], [affect(task, own) for own in people], rule, strength=strength
    )


def answers_of(task: str) -> dict[str, tuple[Answer, int]]:
    "By row: a function that answers, and how many values it has learned from source people."
    source = task_people(task, SEEDS)[1]
    truth = affect(task, source)
    plain, mean = fit_affect(features(source), truth, RIDGE["plain"]), torch.from_numpy(np.concatenate(truth).mean(0))
    typical = resting_answer(plain, [x.video for x in source if x.label == "neutral"])
    own, clip = relative(task, AFFECT_RULE), relative(task, EMBEDDING_RULE)
    n = own.head.n_values + 2 * len(own.population.center)
    return {
        "constant": (lambda c, v: [mean.expand(len(x), 2) for x in v], 2),
        "plain": (lambda c, v: [plain(x) for x in v], plain.n_values),
        "shifted": (lambda c, v: shifted_answers(plain, v, c, typical), plain.n_values + 2),
        "clip": (lambda c, v: clip(v), n),
        "view": (lambda c, v: [plain(x) for x in rest_views(v, own.population, c)], n),
        "so far": (lambda c, v: own(v), n),
        "control": (lambda c, v: own(v, c, learn=False), n),
        "both": (lambda c, v: own(v, c), n),
    }


def scored(task: str, people: People, answer: Answer) -> dict:
    "Pooled scores and those of each person, and the time for a clip."
    start, guesses = time.perf_counter(), {}
    for who, (control, own) in people.items():
        guesses[who] = np.concatenate([y.numpy() for y in answer(features(control), features(own))])
    n_clips = sum(len(own) for _, own in people.values())
    ms = 1e3 * (time.perf_counter() - start) / n_clips
    beyond = np.mean([(np.abs(y) > 1).any(1).mean() for y in guesses.values()])
    guesses = {who: y.clip(-1, 1) for who, y in guesses.items()}
    true = {who: np.concatenate(affect(task, own)) for who, (_, own) in people.items()}
    pooled = score_through_file(task, people, np.concatenate([*true.values()]), np.concatenate([*guesses.values()]))
    each = {who: abaw_score("valence-arousal", true[who], guesses[who]).total for who in people}
    return dict(pooled=pooled.total, **pooled.parts["valence-arousal"].each, each=each, ms=ms, beyond=float(beyond))


def score_through_file(task: str, people: People, truth: np.ndarray, guesses: np.ndarray):
    "The score of a file with answers, written, read back and checked; the same as that of the numbers."
    names = tuple(f"{x.video.id}/{i:05d}.jpg" for _, own in people.values() for x in own for i in range(len(x.video)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.txt"
        write_answers(path, "valence-arousal", names, guesses)
        score = score_file(path, "valence-arousal", NamedRows(names, truth))
    assert score == abaw_score("valence-arousal", truth, guesses)
    return score


def measure_affect() -> dict:
    "By task and row."
    found = {}
    for task in TASKS:
        people = split(task_people(task, SEEDS)[3])
        found[task] = {row: dict(scored(task, people, f), n=n) for row, (f, n) in answers_of(task).items()}
        print(task, {row: round(x["pooled"], 3) for row, x in found[task].items()}, flush=True)
    return found


def measure_settings() -> dict:
    "On validation people: scores by the strength of the ridge, and by the rule for resting faces."
    found = {}
    for task in TASKS:
        _, source, validation, _ = task_people(task, SEEDS)
        people, truth = split(validation), affect(task, source)
        for strength in STRENGTHS:
            plain, own = fit_affect(features(source), truth, strength), relative(task, AFFECT_RULE, strength)
            found[f"{task} plain {strength:g}"] = scored(task, people, lambda c, v: [plain(x) for x in v])["pooled"]  # noqa: B023
            found[f"{task} relative {strength:g}"] = scored(task, people, lambda c, v: own(v, c))["pooled"]  # noqa: B023
        for title, rule in RULES.items():
            own = relative(task, rule)
            found[f"{task} so far {title}"] = scored(task, people, lambda c, v: own(v))["pooled"]  # noqa: B023
            found[f"{task} both {title}"] = scored(task, people, lambda c, v: own(v, c))["pooled"]  # noqa: B023
    return found


def au_scores(model: ClipAU, videos: Sequence[LabeledVideo], population) -> np.ndarray:
    "Cosines [F, N] of all frames, as they are or relative to each person's rest so far."
    if population is not None:
        people = by_subject(videos).values()
        frames = [v.frames for own in people for v in rest_views(features(own), population)]
    else:
        frames = [x.video.frames for x in videos]
    return torch.cat([au_series(model, x, "frozen") for x in frames]).double().numpy()


def measure_aus() -> dict:
    "By task and kind of view: means over action units, pooled and for each person."
    found = {}
    for task in TASKS:
        model, source, _, strangers = task_people(task, SEEDS)
        intensities = lambda videos, task=task: np.concatenate([truths(task)[x.video.id] for x in videos])
        people = by_subject(source).values()
        typical = population_baseline(AFFECT_RULE.baseline(*(v.frames for v in features(own))) for own in people)
        who = np.concatenate([[x.video.subject] * len(x.video) for x in strangers])
        truth, found[task] = intensities(strangers), {}
        for view, population in (("plain", None), ("relative", typical)):
            taught, scores = au_scores(model, source, population), au_scores(model, strangers, population)
            scale, least = (fit_au_scale(taught, intensities(source), least_squares=ls) for ls in (False, True))
            pooled = au_means(scores, truth, scale) | dict(least=au_means(scores, truth, least)["ccc"])
            each = {p: au_means(scores[who == p], truth[who == p], scale) for p in dict.fromkeys(who.tolist())}
            found[task][view] = dict(pooled=pooled, each=each)
            print(task, view, {k: round(x, 3) for k, x in pooled.items()}, flush=True)
    return found


def au_means(scores: np.ndarray, truth: np.ndarray, scale: AUScale) -> dict[str, float]:
    return {k: float(x) for k, x in mean_of_shown(au_scores_table(scores, truth, scale, AUS)).items()}


def gain(found: dict, row: str, reference: str) -> str:
    "Gain of the person's own score over another row, mean over tasks, with the interval over people."
    own = [[run[name]["each"] for name in (row, reference)] for run in found.values()]
    difference = np.mean([[a[who] - b[who] for who in a] for a, b in own], axis=0)
    return f"{paired_bootstrap(difference, np.zeros(len(difference))):+.3f}"


def affect_table(found: dict) -> str:
    "Valence / arousal and their mean for each task, gains, cost."
    lines = []
    for row, title in ROWS.items():
        runs = [run[row] for run in found.values()]
        cells = [f"{x['valence']:.2f} / {x['arousal']:.2f}" for x in runs]
        mean = f"{np.mean([x['pooled'] for x in runs]):.3f}"
        better = gain(found, row, "plain") if row not in ("constant", "plain") else ""
        ms = f"{np.mean([x['ms'] for x in runs]):.1f}" if row != "constant" else ""
        lines.append([title, *cells, mean, better, runs[0]["n"], ms])
    head = ["CCC of valence / arousal", *found, "mean", "gain per person", "values learned", "ms per clip"]
    return table(head, lines)


def mean_of(found: dict, what: str) -> str:
    return f"{np.mean([found[f'{task} {what}'] for task in TASKS]):.3f}"


def ridge_table(found: dict) -> str:
    "Score by strength, mean over tasks."
    lines = [[f"{x:g}", *(mean_of(found, f"{kind} {x:g}") for kind in ("plain", "relative"))] for x in STRENGTHS]
    return table(["strength", "nobody known", "relative to rest"], lines)


def rule_table(found: dict) -> str:
    "Score by rule, for each task and the mean."
    lines = []
    for title in RULES:
        each = [f"{found[f'{task} both {title}']:.3f}" for task in TASKS]
        lines.append([title, *each, mean_of(found, f"both {title}"), mean_of(found, f"so far {title}")])
    return table(["the typical person counts for", *TASKS, "mean", "mean without films at rest"], lines)


def au_gain(run: dict, key: str) -> str:
    "What rest changes for each person."
    a, b = ([x[key] for x in run[view]["each"].values()] for view in ("relative", "plain"))
    return f"{paired_bootstrap(a, b):+.3f}"


def au_table(found: dict) -> str:
    "A row for each task and view."
    lines, names = [], {"plain": "as they are", "relative": "relative to rest"}
    for task, run in found.items():
        for view, name in names.items():
            x = run[view]["pooled"]
            numbers = (x["auc"], x["f1"], x["blind"], x["pearson"], x["ccc_raw"], x["least"], x["ccc"])
            lines.append([task, name, f"{x['n']:.0f}", *(f"{v:.3f}" for v in numbers)])
        lines.append([task, "gain per person", "", *(au_gain(run, key) for key in ("auc", "f1")), "",
                      au_gain(run, "pearson"), "", "", au_gain(run, "ccc")])  # fmt: skip
    head = "task", "cosines", "AUs", "AUC", "F1", "F1 of always yes", "Pearson", "CCC raw", "CCC, least squares"
    return table([*head, "CCC, same spread"], lines)


def facts_table() -> str:
    "The ten tasks."
    number = lambda x: "" if x is None else f"{x:g}"
    scores = lambda t: " + ".join(f"{p.metric} ({len(p.names)})" for p in t.parts)
    lines = [
        [name, t.unit, scores(t), ", ".join(map(str, t.editions)), number(t.baseline), number(t.best)]
        for name, t in ABAW_TASKS.items()
    ]
    return table(["task", "for each", "score", "editions", "baseline", "best"], lines)


def measure() -> dict[str, str]:
    "What the section says, by the names in its template."
    warnings.filterwarnings("ignore", message=".* columns never change")  # the first row is constant on purpose
    facts = WEIGHTS, SEEDS, CONTROL, STRENGTHS, RIDGE, repr([asdict(rule) for rule in RULES.values()])
    name = lambda what: KEPT / f"abaw-{what}-{content_hash(repr((what, facts)))}.json"
    found, chosen = kept(name("affect"), measure_affect), kept(name("settings"), measure_settings)
    aus = kept(name("aus"), measure_aus)
    first = found["pain"]["both"]["each"]
    return dict(
        abaw_facts=facts_table(),
        abaw_affect=affect_table(found),
        abaw_ridge=ridge_table(chosen),
        abaw_rule=rule_table(chosen),
        abaw_aus=au_table(aus),
        abaw_people=str(len(first)),
        abaw_control=str(CONTROL),
        abaw_beyond=percent(max(x["beyond"] for run in found.values() for x in run.values())),
        abaw_never=percent(207 / 525 / (1 + 207 / 525)),
    )


if __name__ == "__main__":
    for key, text in measure().items():
        print(f"{key}:\n{text}\n")
