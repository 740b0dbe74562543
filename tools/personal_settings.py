"""Measure the settings of `personal` and write docs/personal_settings.md: `make personal-settings`.

Films and logits are kept in build/personal_settings, so an interrupted call goes on.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from pages import ROOT, percent, table, write_page
from personal_films import CLIPS, FILMED, PORTRAITS, SOURCE_CLIPS, people
from personal_ways import LONG, ORDERS, Way, head, in_batches, kept_logits, kept_thresholded, ratios, relative, truth

from clip_autt.evaluation.metrics import Difference, paired_bootstrap
from clip_autt.faces.tasks import TASKS
from clip_autt.personal.method import PersonalBaseline
from clip_autt.personal.rule import EMBEDDING_RULE, at_test_time

BEFORE, _rule = Way(), at_test_time(EMBEDDING_RULE)
CHOSEN = Way(prior=_rule.prior_clips, video_weight=_rule.video_weight, spread_prior=_rule.spread_clips)
BALANCED = "in order", "shuffled", "class after class"
SKEWED = "80:20", "90:10", "one class"
COMPARED = "shuffled", *SKEWED, "one clip only"
DRIFTS = "long", "long, drifting", "long, changed at once"
FORGOTTEN = *DRIFTS, "class after class", "one class"
PLACES = 1, 2, 3, 10  # of clips in the order in which a person makes them
PRIOR_WAYS = {f"{k:g} clips": Way(prior=k) for k in (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, math.inf)}
DIMENSION_WAYS = {
    "one number, 1 clip (before)": BEFORE,
    "each dimension its ratio": Way(prior="ratio"),
    "half the ratio": Way(prior="half the ratio"),
    "one ratio for all dimensions": Way(prior="one ratio"),
    "ratios for the center, 1 clip for the spread": Way(prior="ratio of the center"),
    "ratios of the strangers themselves (no method)": Way(prior="ratio of strangers"),
}
STATISTIC_WAYS = {
    "median of frames, mean of clips (before)": BEFORE,
    "mean of frames": Way(frame="mean"),
    "trimmed mean of frames": Way(frame="trimmed mean"),
    "quiet half of the frames": Way(frame="quiet half"),
    "median of clips": Way(over="median"),
    "trimmed mean of clips": Way(over="trimmed mean"),
}
SURE_WAYS = {
    "median (before)": BEFORE,
    "median weighted by the detector's confidence": Way(frame="weighted by confidence"),
    "half of the frames with the surest face": Way(frame="most confident half"),
}
SCALE_WAYS = {
    "1 clip, as the center (before)": BEFORE,
    **{f"{k:g} clips": Way(spread_prior=k) for k in (0.0, 3.0, 5.0, 10.0, 30.0)},
    "center only": Way(spread_prior=math.inf),
}
WEIGHT_WAYS = {
    "0.5 (before)": BEFORE,
    **{f"{w:g}": Way(video_weight=w) for w in (0.0, 0.25, 0.6, 0.75, 0.9, 1.0)},
    "somebody else's baseline": Way(whose="other"),
}
JOINT_WAYS = {
    f"{w:g} and {k:g} clips{' (chosen)' * ((w, k) == (0.5, 5.0))}": Way(video_weight=w, spread_prior=k)
    for w in (0.5, 0.6, 0.7)
    for k in (3.0, 5.0, 10.0)
}
COMPARED_WAYS = PRIOR_WAYS, DIMENSION_WAYS, STATISTIC_WAYS, SURE_WAYS, SCALE_WAYS, WEIGHT_WAYS, JOINT_WAYS
COMPARISONS = sum(len(ways) - 1 for ways in COMPARED_WAYS) * len(COMPARED)
FORGET_WAYS = {
    "never (chosen)": CHOSEN,
    **{f"half-life {h} clips": replace(CHOSEN, half_life=h) for h in (20, 10, 5, 2)},
}


def right(stream: str, way: Way | None, group: str = "validation", threshold: bool = False) -> np.ndarray:
    "Whether clips are named right, [tasks, P, S, K]."
    logits = kept_thresholded if threshold else kept_logits
    return np.stack([logits(t, group, stream, way).argmax(-1) == truth(t, group, stream) for t in TASKS]).astype(float)


def by_person(answers: np.ndarray) -> np.ndarray:
    "Share of right answers of each person, [P], the tasks counting alike."
    return answers.mean((0, 2, 3))


def points(a: np.ndarray, b: np.ndarray) -> Difference:
    "What somebody gains, with the interval over people."
    return paired_bootstrap(a, b)


def gain_text(d: Difference) -> str:
    return f"{d.percent:+.1f}"


def sure(d: Difference) -> int:
    "1 for a gain that is larger than its interval, -1 for such a loss, else 0."
    return int(d.low > 0) - int(d.high < 0)


def settings_table(
    ways: dict[str, Way],
    what: str,
    streams: Sequence[str] = COMPARED,
    group: str = "validation",
    base: Way = BEFORE,
) -> str:
    "WAR of each setting on each stream, what it gains over another one, and which settings pass the rule."
    of_base = {s: by_person(right(s, base, group)) for s in streams}
    lines, passed = [], []
    for name, way in ways.items():
        own = {s: by_person(right(s, way, group)) for s in streams}
        gains = {s: points(own[s], of_base[s]) for s in streams}
        texts = {s: "" if way == base else f" ({gain_text(gains[s])})" for s in streams}
        lines.append([name, *(percent(own[s].mean()) + texts[s] for s in streams)])
        better, worse = ([s for s in streams if sure(gains[s]) == sign] for sign in (1, -1))
        if better and not worse:
            passed.append(f"{name} (on {', '.join(better)})")
    verdict = f"Passes the rule: {'; '.join(passed)}." if passed else "Nothing here passes the rule."
    return f"{table([what, *streams], lines)}\n\n{verdict}"


def threshold_table(way: Way, group: str = "validation") -> str:
    "What the threshold does on each stream, all tasks and each."
    lines = []
    for s in (*BALANCED, *SKEWED, "one clip only"):
        raw, base, own = right(s, None, group), right(s, way, group), right(s, way, group, threshold=True)
        gain = points(by_person(own), by_person(base))
        each = [gain_text(points(own[t].mean((1, 2)), base[t].mean((1, 2)))) for t in range(len(TASKS))]
        word = {1: "earns its place", 0: "nothing sure", -1: "harms"}[sure(gain)]
        lines.append([s, *(percent(x.mean()) for x in (raw, base, own)), gain_text(gain), *each, word])
    head = "stream", "CLIP-AU", "baseline", "and threshold", "gain of the threshold", *TASKS, "verdict"
    return table(head, lines)


def first_clips(ways: dict[str, tuple[Way, bool]], group: str = "validation") -> str:
    "Share of clips named right at some places, beside CLIP-AU."
    raw, lines = right("shuffled", None, group), []
    found = {name: right("shuffled", way, group, threshold) for name, (way, threshold) in ways.items()}
    at = lambda answers, place: answers[..., place - 1].mean((0, 2))
    for place in (*PLACES, raw.shape[-1]):
        gains = [
            f"{percent(at(x, place).mean())} ({gain_text(points(at(x, place), at(raw, place)))})"
            for x in found.values()
        ]
        lines.append([place, percent(at(raw, place).mean()), *gains])
    return table(["clip", "CLIP-AU", *found], lines)


def worst_starts(ways: dict[str, tuple[Way, bool]], group: str = "validation") -> str:
    "The clip number and task at which each way loses most to CLIP-AU, of all clip numbers."
    raw, lines = right("shuffled", None, group), []
    for name, (way, threshold) in ways.items():
        own, found = right("shuffled", way, group, threshold), []
        for t, task in enumerate(TASKS):
            for k in range(raw.shape[-1]):
                found.append((points(own[t, :, :, k].mean(1), raw[t, :, :, k].mean(1)), task, k + 1))
        d, task, place = min(found, key=lambda f: f[0].mean)
        harmed = sum(d.high < 0 for d, *_ in found)
        lines.append([name, f"{gain_text(d)}", f"{task}, clip {place}", f"{harmed} of {len(found)}"])
    return table(["setting", "smallest gain over CLIP-AU", "where", "surely worse than CLIP-AU"], lines)


def ratio_rows() -> str:
    "Quartiles over dimensions of the variance within people by that between them, all tasks together."
    lines = []
    for group in ("training", "validation"):
        both = [torch.cat(r) for r in zip(*(ratios(t, group) for t in TASKS))]
        quartiles = lambda r: " / ".join(
            f"{q:.2f}"
            for q in r.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=r.dtype), interpolation="lower").tolist()
        )
        lines.append([group, *map(quartiles, both)])
    return table(["people", "center", "spread"], lines)


def strangers_table() -> str:
    "The setting of before and the chosen one on people that no choice has seen."
    lines = []
    for s in (*BALANCED, *SKEWED, "one clip only"):
        ways = [(None, False), (BEFORE, False), (CHOSEN, False), (CHOSEN, True)]
        raw, before, chosen, both = (right(s, way, "strangers", threshold) for way, threshold in ways)
        gain, more = points(by_person(chosen), by_person(before)), points(by_person(both), by_person(chosen))
        scores = [percent(x.mean()) for x in (raw, before, chosen, both)]
        lines.append([s, *scores, gain_text(gain), gain_text(more)])
    head = (
        "stream",
        "CLIP-AU",
        "before",
        "chosen",
        "chosen and threshold",
        "chosen minus before",
        "gain of the threshold",
    )
    return table(head, lines)


def task_table(group: str) -> str:
    "What the chosen setting gains over the one of before, task by task."
    lines = []
    for s in (*BALANCED, *SKEWED, "one clip only"):
        before, chosen = right(s, BEFORE, group), right(s, CHOSEN, group)
        each = [points(chosen[t].mean((1, 2)), before[t].mean((1, 2))) for t in range(len(TASKS))]
        lines.append([s, *map(gain_text, each), gain_text(points(by_person(chosen), by_person(before)))])
    return table(["stream", *TASKS, "mean"], lines)


def agrees_with_library() -> float:
    "Largest difference of logits to `PersonalBaseline`, over the clips of the first validation person of each task."
    worst = 0.0
    for task in TASKS:
        person, model = people(task, "filmed")[0], head(task)
        clips = [torch.as_tensor(x) for x in person.clips]
        method = PersonalBaseline(model, estimate_threshold=False, reset="never")
        answers = torch.stack([a.logits for a in method.adapt_many(clips)])
        own = relative(task, person, person, np.arange(len(clips))[None], CHOSEN, None)
        worst = max(worst, float((answers - in_batches(model.personal.head, own)).abs().max()))
    assert worst < 1e-4, f"this is not what the library does: {worst}"
    return worst


STARTS = {
    "prior 0": (Way(prior=0.0), False),
    "before": (BEFORE, False),
    "chosen": (CHOSEN, False),
    "chosen and threshold": (CHOSEN, True),
}


def main() -> None:
    torch.set_num_threads(1)
    agrees_with_library()
    write_page(
        ROOT / "docs" / "personal_settings.md",
        "personal_settings.md",
        "make personal-settings",
        n_validation=len(people("pain", "validation")),
        n_filmed=len(FILMED),
        n_strangers=len(people("pain", "strangers")),
        clips=CLIPS,
        source_clips=SOURCE_CLIPS,
        portraits=PORTRAITS,
        orders=ORDERS,
        long=LONG,
        comparisons=COMPARISONS,
        by_chance=0.025 * COMPARISONS,
        video_weight=CHOSEN.video_weight,
        prior_clips=CHOSEN.prior,
        spread_clips=CHOSEN.spread_prior,
        prior=settings_table(PRIOR_WAYS, "typical person counts for"),
        dimension=settings_table(DIMENSION_WAYS, "clips of the typical person"),
        ratios=ratio_rows(),
        statistic=settings_table(STATISTIC_WAYS, "rest"),
        sure=settings_table(SURE_WAYS, "frames", group="filmed"),
        scale=settings_table(SCALE_WAYS, "typical person in the spread"),
        weight=settings_table(WEIGHT_WAYS, "weight of the video's own center"),
        joint=settings_table(JOINT_WAYS, "own center, spread", base=CHOSEN),
        forget=settings_table(FORGET_WAYS, "forgetting", FORGOTTEN, base=CHOSEN),
        by_task=task_table("validation"),
        threshold_before=threshold_table(BEFORE),
        threshold=threshold_table(CHOSEN),
        starts=first_clips(STARTS),
        worst=worst_starts(STARTS),
        strangers=strangers_table(),
        strangers_tasks=task_table("strangers"),
    )


if __name__ == "__main__":
    main()
