"""A personal baseline on real people's action units: one protocol, held-out people, choices inside. No page, no text.

`tools/real_people.py` runs it and writes the page. Rows are clips. A *view* says how a clip is described: as it is, or
relative to where the person rests. All that a view, a classifier or a threshold knows comes from training people.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from clip_autt.personal.baseline import Baseline, population_baseline, shrunk, variance_ratio
from clip_autt.personal.threshold import LogitPrior, logit_prior, personal_threshold

TASKS = (  # in the order that is taken for that of recording
    "Breathing", "Video1", "Video2", "Counting1", "Counting2", "Stroop", "Speaking", "Math", "Reading", "Counting3",
    "Relax",
)  # fmt: skip
REST = "Breathing", "Relax", "Video1", "Video2"  # nobody speaks in them, and nothing is to be solved
FOLDS, INNER = 10, 5
COSTS = 0.001, 0.004, 0.016, 0.06, 0.25, 1.0  # of errors, as sklearn's C
PRIORS = 0.0, 1.0, 2.0, 4.0, 8.0, 16.0, np.inf  # clips; the last is no baseline
FEATURES = {
    "intensities, mean and deviation": r"(mean|std)_AU\d\d_r",
    "intensities, mean only": r"mean_AU\d\d_r",
    "intensities and presence, mean and deviation": r"(mean|std)_AU\d\d_[rc]",
    "intensities and gaze, mean and deviation": r"(mean|std)_(AU\d\d_r|gaze_.*)",
}
USUAL = next(iter(FEATURES))


# what is read


@dataclass(frozen=True, eq=False)
class Clips:
    "N clips of P people, D numbers each."

    x: np.ndarray  # [N, D]
    who: np.ndarray  # [N] numbers of people
    task: np.ndarray  # [N] names
    y: np.ndarray  # [N] 0 or 1; -1 where no label is known
    columns: tuple[str, ...]

    @property
    def known(self) -> np.ndarray:  # bool [N]
        return self.y >= 0

    @property
    def n_people(self) -> int:
        return int(self.who.max()) + 1


def read_clips(
    table: Path,  # one row a clip, named PERSON_TASK; means and deviations
    labels: dict[str, int] | None = None,  # of clips; None: 1 for tasks that stress, 0 for `REST`
    features: str = USUAL,
    tasks: Sequence[str] = TASKS,  # whose labels are looked at; the others only teach where a person rests
) -> Clips:
    "The table, with people who have labels."
    t = pd.read_csv(table)
    parts = t.id.str.split("_", n=1, expand=True)
    unknown = {*parts[1]} - {*TASKS}
    if unknown:
        raise SystemExit(f"{table}: tasks that StressID does not have: {', '.join(sorted(unknown))}")
    y = t.id.map(labels).fillna(-1).astype(int) if labels is not None else (~parts[1].isin(REST)).astype(int)
    people = parts[0].isin(parts[0][y >= 0])
    y = y.where(parts[1].isin(tasks), -1)
    columns = [c for c in t if pd.Series([c]).str.fullmatch(FEATURES[features])[0]]
    x = t.loc[people, columns].to_numpy(float)
    if not np.isfinite(x).all():
        raise SystemExit(f"{table}: {(~np.isfinite(x)).sum()} numbers are missing")
    who = np.unique(parts[0][people], return_inverse=True)[1]
    return Clips(x, who, parts[1][people].to_numpy(), y[people].to_numpy(), tuple(columns))


def self_reports(path: Path) -> dict[str, int]:
    "Whether a person called a clip's task stressful, from lines `sub_images/PERSON/PERSON_TASK/image_N.jpg LABEL`."
    found: dict[str, set[int]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        frame, label = line.split()
        found.setdefault(frame.split("/")[2], set()).add(int(label))
    assert all(len(v) == 1 for v in found.values()), "one label per clip"
    return {clip: v.pop() for clip, v in found.items()}


# orders, and where a person rests by then


def recorded(clips: Clips) -> np.ndarray:  # [N] places from 0 on
    "Places of clips in the order in which the tasks were recorded."
    return _places(clips.who, np.array([TASKS.index(t) for t in clips.task]))


def shuffled(clips: Clips, seed: int) -> np.ndarray:
    "Places of clips in an order drawn for each person."
    return _places(clips.who, np.random.default_rng(seed).permutation(len(clips.who)))


def _places(who: np.ndarray, key: np.ndarray) -> np.ndarray:
    place = np.empty(len(who), int)
    for p in range(who.max() + 1):
        own = np.flatnonzero(who == p)
        place[own[np.argsort(key[own])]] = np.arange(len(own))
    return place


class Rest(NamedTuple):
    "Where people rest by each clip, and from how many clips this is known."

    center: np.ndarray  # [N, D]
    n: np.ndarray  # [N]


Estimate = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, float]]  # [n, D] in order, [n] movement -> [D], n


def mean(x: np.ndarray, movement: np.ndarray) -> tuple[np.ndarray, float]:
    return x.mean(0), len(x)


def median(x: np.ndarray, movement: np.ndarray) -> tuple[np.ndarray, float]:
    return np.median(x, 0), len(x)


def trimmed(x: np.ndarray, movement: np.ndarray) -> tuple[np.ndarray, float]:
    "Without the largest and the smallest fifth of each number."
    cut = len(x) // 5
    return np.sort(x, 0)[cut : len(x) - cut].mean(0), len(x)


def quiet(x: np.ndarray, movement: np.ndarray) -> tuple[np.ndarray, float]:
    "The half of the clips in which least moves."
    calm = np.argsort(movement, kind="stable")[: (len(x) + 1) // 2]
    return x[calm].mean(0), len(calm)


def forgetting(keep: float) -> Estimate:
    "Each clip counts `keep` times as much as the next."

    def estimate(x: np.ndarray, movement: np.ndarray) -> tuple[np.ndarray, float]:
        w = keep ** np.arange(len(x))[::-1]
        return w @ x / w.sum(), float(w.sum() ** 2 / (w**2).sum())

    return estimate


def so_far(clips: Clips, place: np.ndarray, estimate: Estimate = mean) -> Rest:
    "From the person's clips up to this one, itself included."
    center, n, movement = np.empty_like(clips.x), np.empty(len(place)), _movement(clips)
    for p in range(clips.n_people):
        own = np.flatnonzero(clips.who == p)
        own = own[np.argsort(place[own])]
        for k, i in enumerate(own, 1):
            center[i], n[i] = estimate(clips.x[own[:k]], movement[own[:k]])
    return Rest(center, n)


def everything(clips: Clips) -> Rest:
    "From all clips of the person, later ones too."
    return so_far(clips, np.zeros(len(clips.who), int))._replace(
        center=person_means(clips)[clips.who], n=np.bincount(clips.who)[clips.who].astype(float)
    )


def enrolled(clips: Clips, task: str) -> Rest:
    "From one clip whose task is known. People without it are known by nothing."
    center, n = np.zeros_like(clips.x), np.zeros(len(clips.who))
    for i in np.flatnonzero(clips.task == task):
        center[clips.who == clips.who[i]], n[clips.who == clips.who[i]] = clips.x[i], 1
    return Rest(center, n)


def somebody_else(clips: Clips, rest: Rest, place: np.ndarray, seed: int) -> Rest:
    "What is known of another person at the same place, drawn without anybody keeping their own."
    g, n = np.random.default_rng(seed), clips.n_people
    ring = g.permutation(n)
    other = np.empty(n, int)
    other[ring] = np.roll(ring, 1)
    at = {(p, k): i for i, (p, k) in enumerate(zip(clips.who, place))}
    last = {p: max(k for q, k in at if q == p) for p in range(n)}
    i = [at[other[p], min(k, last[other[p]])] for p, k in zip(clips.who, place)]
    return Rest(rest.center[i], rest.n[i])


def _movement(clips: Clips) -> np.ndarray:
    "How much a clip moves: its mean deviation over intensities."
    moving = [i for i, c in enumerate(clips.columns) if c.startswith("std_AU") and c.endswith("_r")]
    return clips.x[:, moving].mean(1) if moving else np.zeros(len(clips.x))


def person_means(clips: Clips) -> np.ndarray:  # [P, D]
    return np.stack([clips.x[clips.who == p].mean(0) for p in range(clips.n_people)])


# views: how clips are described, given who may be learned from

View = Callable[[np.ndarray, object], np.ndarray]  # people [P] bool, prior -> [N, D]
EACH, ONE = "each", "one"  # a prior measured by `variance_ratio`: for each number, or one for all


def as_is(clips: Clips) -> View:
    return lambda train, prior: clips.x


def relative(clips: Clips, rest: Rest) -> View:
    "Minus where the person rests, plus where the typical person does; as the library shrinks and adds."
    means, tensor = torch.tensor(person_means(clips)), torch.as_tensor
    people = [tensor(clips.x[clips.who == p]) for p in range(clips.n_people)]
    n, x, center = tensor(rest.n)[:, None], tensor(clips.x), tensor(np.where(rest.n[:, None] > 0, rest.center, np.nan))

    def view(train: np.ndarray, prior: object) -> np.ndarray:
        typical = population_baseline(Baseline(m, torch.ones_like(m)) for m in means[train])
        if prior in (EACH, ONE):
            prior = variance_ratio([people[p] for p in np.flatnonzero(train)], prior == EACH)
        person = Baseline(center, torch.ones_like(center), n)
        return (x - shrunk(person, typical, prior).center + typical.center).numpy()

    return view


def scaled(clips: Clips, rest: Rest) -> View:
    "Center and scale: intensities and their deviation also divided by how much the person moves, times the typical."
    shifted, mean_of = relative(clips, rest), {c: i for i, c in enumerate(clips.columns) if c.startswith("mean_")}
    deviation = np.array([clips.columns.index(c.replace("mean_", "std_")) for c in mean_of])
    level = np.array([*mean_of.values()])

    def view(train: np.ndarray, prior: object) -> np.ndarray:
        typical = np.median(person_means(clips)[train], 0)
        moved = clips.x - shifted(train, prior) + typical  # where the person rests, shrunk
        gain = (typical[deviation] + 0.05) / (moved[:, deviation] + 0.05)  # steps of 0 to 5; many hardly move at all
        out = np.empty_like(clips.x)
        out[:, level] = (clips.x[:, level] - moved[:, level]) * gain + typical[level]
        out[:, deviation] = clips.x[:, deviation] * gain
        return out

    return view


# the classifier


def fit_logistic(
    x: np.ndarray,  # [n, D] standardized
    y: np.ndarray,  # [n] 0 or 1
    costs: Sequence[float],  # B, as sklearn's C
    start: np.ndarray | None = None,  # [B, D + 1], of a similar problem
    steps: int = 40,
) -> np.ndarray:  # [B, D + 1], the intercept last
    "Class-balanced logistic regression with an L2 penalty, for B costs at once, by Newton's method."
    x, n, b = np.column_stack([x, np.ones(len(x))]), len(x), len(costs)
    share = np.where(y == 1, n / (2 * max(y.sum(), 1)), n / (2 * max((1 - y).sum(), 1)))
    penalty = np.repeat(1 / np.asarray(costs)[:, None], x.shape[1], 1)
    penalty[:, -1] = 1e-9  # not of the intercept
    w, diagonal = np.zeros((b, x.shape[1])) if start is None else start.copy(), np.arange(x.shape[1])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.clip(w @ x.T, -40, 40)))
        slope = (share * (p - y)) @ x + penalty * w
        curve = (x.T * (share * p * (1 - p))[:, None]) @ x
        curve[:, diagonal, diagonal] += penalty
        step = np.linalg.solve(curve, slope[..., None])[..., 0]
        w -= step
        if np.abs(step).max() < 1e-3:  # what is left is about the square of it
            break
    return w


def margins(
    view: np.ndarray,  # [N, D]
    y: np.ndarray,  # [N]
    fit: np.ndarray,  # bool [N], clips that are learned from
    ask: np.ndarray,  # bool [N], clips that are predicted
    costs: Sequence[float],
    start: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # [asked, len(costs)] and the weights
    "Log odds by a classifier on standardized numbers."
    m, s = view[fit].mean(0), view[fit].std(0)
    x, asked = ((view[i] - m) / np.maximum(s, 1e-9) for i in (fit, ask))
    w = fit_logistic(x, y[fit], costs, start)
    return asked @ w[:, :-1].T + w[:, -1], w


def balanced_loss(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    "Mean negative log likelihood, each class counted half. z: [n, ...]."
    loss = np.logaddexp(0, np.where(y == 1, -1.0, 1.0).reshape(-1, *[1] * (z.ndim - 1)) * z)
    return (loss[y == 1].mean(0) + loss[y == 0].mean(0)) / 2


# the protocol


def deal(people: np.ndarray, n: int, seed: int) -> list[np.ndarray]:
    "People in n folds, each in one."
    return [np.sort(f) for f in np.array_split(np.random.default_rng(seed).permutation(people), n)]


class Choice(NamedTuple):
    "What was chosen inside the training people."

    cost: float
    prior: object
    held_out: np.ndarray  # [N] log odds of training people by classifiers that had not seen them; NaN elsewhere


def choose(clips: Clips, view: View, priors: Sequence, train: np.ndarray, seed: int) -> Choice:
    "Cost and prior by the balanced loss on inner held-out people. `train`: bool [P]."
    z = np.full((len(clips.y), len(priors), len(COSTS)), np.nan)
    for fold in deal(np.flatnonzero(train), INNER, seed):
        inner = train & ~np.isin(np.arange(len(train)), fold)
        fit, ask = clips.known & inner[clips.who], clips.known & np.isin(clips.who, fold)
        w = None
        for k, prior in enumerate(priors):
            z[ask, k], w = margins(view(inner, prior), clips.y, fit, ask, COSTS, w)
    asked = clips.known & train[clips.who]
    loss = balanced_loss(z[asked], clips.y[asked])
    k, c = np.unravel_index(loss.argmin(), loss.shape)
    return Choice(COSTS[c], priors[k], z[:, k, c])


@dataclass(frozen=True, eq=False)
class Method:
    "A row of the table."

    view: Callable[[Clips, int], View]  # from clips and the number of the repetition
    priors: Sequence = (0.0,)
    tested_with: Callable[[Clips, int], View] | None = None  # another view for people who are tested
    threshold: bool = False  # estimate the person's threshold from clips so far


@dataclass(frozen=True, eq=False)
class Found:
    "Log odds of all repetitions, and what was chosen."

    z: np.ndarray  # [R, N], NaN where nothing was asked
    priors: list  # [R * FOLDS]
    costs: list[float]


def cross_validate(clips: Clips, method: Method, repeats: int, seed: int = 0) -> Found:
    "Every person held out once in each repetition; all choices are made inside the others."
    z, priors, costs = np.full((repeats, len(clips.y)), np.nan), [], []
    for r in range(repeats):
        view = method.view(clips, r)
        tested = method.tested_with(clips, r) if method.tested_with else view
        for f, fold in enumerate(deal(np.arange(clips.n_people), FOLDS, seed + r)):
            train = ~np.isin(np.arange(clips.n_people), fold)
            found = choose(clips, view, method.priors, train, 1000 * (seed + r) + f)
            fit, ask = clips.known & train[clips.who], clips.known & ~train[clips.who]
            x = np.where(ask[:, None], tested(train, found.prior), view(train, found.prior))
            z[r, ask] = margins(x, clips.y, fit, ask, [found.cost])[0][:, 0]
            if method.threshold:
                prior = measured_prior(clips, found.held_out)
                z[r, ask] -= thresholds(clips, z[r], ask, prior)
            priors.append(found.prior)
            costs.append(found.cost)
    return Found(z, priors, costs)


def measured_prior(clips: Clips, z: np.ndarray) -> LogitPrior:
    "How log odds are distributed, on training people that inner classifiers had not seen."
    i = np.flatnonzero(~np.isnan(z))
    return logit_prior(_logits(z[i]), torch.tensor(clips.y[i]), [str(p) for p in clips.who[i]])


def thresholds(clips: Clips, z: np.ndarray, ask: np.ndarray, prior: LogitPrior) -> np.ndarray:
    "Of each asked clip, the person's threshold from the clips up to it, in the order of recording."
    place, out = recorded(clips), np.zeros(len(z))
    for p in np.unique(clips.who[ask]):
        own = np.flatnonzero(ask & (clips.who == p))
        own = own[np.argsort(place[own])]
        for k, i in enumerate(own, 1):
            s = personal_threshold(_logits(z[own[:k]]), prior)
            out[i] = float(s[1] - s[0])
    return out[ask]


def _logits(z: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.stack([-z / 2, z / 2], 1), dtype=torch.float32)


def task_prior(clips: Clips, repeats: int, seed: int = 0) -> Found:
    "The most frequent label of a clip's task among training people. No face is looked at."
    z = np.full((repeats, len(clips.y)), np.nan)
    for r in range(repeats):
        for fold in deal(np.arange(clips.n_people), FOLDS, seed + r):
            test = np.isin(clips.who, fold)
            for t in np.unique(clips.task[clips.known]):
                here = clips.task == t
                z[r, here & test & clips.known] = clips.y[here & ~test & clips.known].mean() - 0.5
    return Found(z, [], [])


# scores


def tally(clips: Clips, z: np.ndarray, keep: np.ndarray | None = None) -> np.ndarray:
    "Right answers, averaged over repetitions, and clips: [P, 2 classes, 2]. `keep`: bool [R, N] or [N]."
    asked = ~np.isnan(z) & (True if keep is None else keep)
    right = (z > 0) == (clips.y == 1)
    out = np.zeros((clips.n_people, 2, 2))
    for c in (0, 1):
        of = asked & (clips.y == c)
        for k, a in enumerate((right & of, of)):
            out[:, c, k] = np.bincount(clips.who, a.mean(0), clips.n_people)
    return out


def uar(counts: np.ndarray) -> np.ndarray:
    "Unweighted average recall of counts [..., 2 classes, 2], summed over people."
    return (counts[..., 0] / counts[..., 1]).mean(-1)


class Gain(NamedTuple):
    "Points of UAR, and the 95 % interval of the difference over people."

    points: float
    low: float
    high: float


def gain(a: np.ndarray, b: np.ndarray, draws: int = 4000, seed: int = 0) -> Gain:
    "UAR of tally a minus that of b, people drawn with replacement, the same people for both."
    n = len(a)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)
    both = [np.einsum("bp,pck->bck", weights, t) for t in (a, b)]
    drawn = (both[1][..., 1] > 0).all(-1)  # of both classes
    difference = 100 * (uar(both[0][drawn]) - uar(both[1][drawn]))
    low, high = np.percentile(difference, (2.5, 97.5)) if drawn.any() else (np.nan, np.nan)
    return Gain(100 * float(uar(a.sum(0)) - uar(b.sum(0))), float(low), float(high))


def winners(a: np.ndarray, b: np.ndarray, clips: float = 0.5) -> tuple[int, int]:
    "People who gain, and who lose, at least so many right answers."
    d = (a - b)[..., 0].sum(1)
    return int((d >= clips).sum()), int((d <= -clips).sum())


def subset(clips: Clips, keep: np.ndarray) -> Clips:
    "The same clips; labels are known of fewer."
    return replace(clips, y=np.where(keep, clips.y, -1))
