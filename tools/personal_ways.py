"""Ways to know a person, tried on filmed people whose embeddings are kept: what docs/personal_settings.md compares."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import torch
from pages import MODELS
from personal_films import KEPT, Person, people, rest_changes
from torch import Tensor

from clip_autt.evaluation.embedded import load_head
from clip_autt.model import ClipAU
from clip_autt.personal.baseline import variance_ratio
from clip_autt.personal.threshold import personal_threshold
from clip_autt.utils.files import atomic_path, content_hash

ORDERS, LONG = 8, 2  # random orders of a person's clips; times that a long stream shows each clip


@dataclass(frozen=True)
class Way:
    "How a person's resting face is found; as the personal heads were trained unless said."

    prior: float | str = 1.0  # clips of the typical person, or a name in `PRIORS`
    video_weight: float = 0.5  # of the video's own center
    frame: str = "median"  # of the frames of a clip
    over: str = "mean"  # of the clips of a person
    spread_prior: float | None = None  # clips of the typical person in the spread alone; infinite: center only
    half_life: float = math.inf  # clips after which a clip counts half
    whose: str = "own"  # or "other": of the next person in the list


def trimmed(x: Tensor, dim: int = 0, share: float = 0.2) -> Tensor:
    "Mean without the lowest and the highest share of the values."
    cut = int(share * x.shape[dim])
    return x.sort(dim).values.narrow(dim, cut, x.shape[dim] - 2 * cut).mean(dim)


def quiet(x: Tensor) -> Tensor:
    "Median over the half of the frames that differ least from their neighbours."
    step = (x[1:] - x[:-1]).norm(dim=1)
    moved = torch.cat([step[:1], torch.maximum(step[1:], step[:-1]), step[-1:]])
    return x[moved.argsort()[: max(1, len(x) // 2)]].median(0).values


def weighted_median(x: Tensor, w: Tensor) -> Tensor:
    "The value in each column below which half of the weight lies."
    order = x.argsort(0)
    total = w[order].cumsum(0)
    return x.gather(0, order).gather(0, (total < total[-1] / 2).sum(0)[None])[0]


FRAMES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "median": lambda x, w: x.median(0).values,
    "mean": lambda x, w: x.mean(0),
    "trimmed mean": lambda x, w: trimmed(x),
    "quiet half": lambda x, w: quiet(x),
    "weighted by confidence": lambda x, w: weighted_median(x, w),
    "most confident half": lambda x, w: x[w.argsort(descending=True)[: max(1, len(x) // 2)]].median(0).values,
}
OVER: dict[str, Callable[[Tensor], Tensor]] = {
    "median": lambda x: x.quantile(0.5, dim=0),
    "trimmed mean": trimmed,
}


@cache
def clip_statistics(person: Person, frame: str) -> tuple[Tensor, Tensor]:
    "Center and spread of each clip, [n, D] both."
    clips = torch.as_tensor(person.clips)
    sure = [None] * len(clips) if person.sure is None else torch.as_tensor(person.sure)
    centers = torch.stack([FRAMES[frame](x, w) for x, w in zip(clips, sure)])
    return centers, (clips - centers[:, None]).abs().mean(1)


def ratios(task: str, group: str, per_dimension: bool = True) -> tuple[Tensor, Tensor]:
    "Variance within people divided by the variance between them, of clip centers and of spreads."
    stats = [clip_statistics(p, "median") for p in people(task, group)]
    return tuple(variance_ratio(part, per_dimension) for part in zip(*stats))


PRIORS: dict[str, Callable[[str], tuple[Tensor, Tensor]]] = {  # prior clips of center and of spread
    "ratio": lambda task: ratios(task, "training"),
    "half the ratio": lambda task: tuple(r / 2 for r in ratios(task, "training")),
    "one ratio": lambda task: ratios(task, "training", per_dimension=False),
    "ratio of the center": lambda task: (ratios(task, "training")[0], torch.tensor(1.0)),
    "ratio of strangers": lambda task: ratios(task, "validation"),
}


@lru_cache
def prior_clips(task: str, prior: float | str, spread_prior: float | None) -> tuple[Tensor, Tensor]:
    "Clips that the typical person counts for, in the center and in the spread."
    center, spread = PRIORS[prior](task) if isinstance(prior, str) else (torch.tensor(float(prior)),) * 2
    return center, spread if spread_prior is None else torch.tensor(float(spread_prior))


def shrink(x: Tensor, n: Tensor, typical: Tensor, prior: Tensor) -> Tensor:
    "Statistics [S, K, D] of n [K] clips, drawn toward the typical person."
    own = torch.where(prior.isinf(), torch.zeros(()), n[:, None] / (n[:, None] + prior))
    return own * x + (1 - own) * typical


def running(x: Tensor, way: Way) -> tuple[Tensor, Tensor]:
    "Statistics [S, K, D] of the clips so far, and how many they count for [K]."
    k = x.shape[1]
    if way.over != "mean":
        so_far = [OVER[way.over](x[:, : i + 1].transpose(0, 1)) for i in range(k)]
        return torch.stack(so_far, 1), torch.arange(1.0, k + 1)
    age = torch.arange(k)[:, None] - torch.arange(k)
    w = torch.where(age >= 0, torch.tensor(0.5) ** (age.clamp(min=0) / way.half_life), torch.zeros(()))
    return torch.einsum("ij,sjd->sid", w / w.sum(1, keepdim=True), x), w.sum(1)


def relative(task: str, person: Person, other: Person, orders: np.ndarray, way: Way, shift: Tensor | None) -> Tensor:
    "Frames [S * K, T, D] of a person's clips in some orders [S, K], each relative to what is known by then."
    base, (k_center, k_spread) = head(task).personal.population_baseline, prior_clips(task, way.prior, way.spread_prior)
    own = clip_statistics(person, way.frame)
    frames, here = torch.as_tensor(person.clips)[orders], own[0][orders]
    if shift is not None:
        frames, here = frames + shift[:, :, None], here + shift
    if way.whose == "other":
        center, spread = (s[orders % len(s)] for s in clip_statistics(other, way.frame))
    else:
        center, spread = here, own[1][orders]
    (center, n), (spread, _) = running(center, way), running(spread, way)
    center = shrink(center, n, base.center, k_center)
    spread = shrink(spread, n, base.spread, k_spread)
    center = way.video_weight * here + (1 - way.video_weight) * center
    x = (frames - center[:, :, None]) / spread[:, :, None].clamp(min=1e-6) * base.spread + base.center
    return x.flatten(0, 1)


@lru_cache
def head(task: str) -> ClipAU:
    "The bundled head of a task."
    return load_head(task)


@torch.no_grad()
def in_batches(model: ClipAU, x: Tensor) -> Tensor:
    "Logits [B, C] of videos [B, T, D]."
    return torch.cat([model(part).logits for part in x.split(128)])


def draws(person: Person, stream: str) -> np.ndarray:
    "Orders [S, K] of a person's clips: numbers of clips."
    y, n = person.y, len(person.y)
    g = np.random.default_rng([int(person.name[1:]), [*STREAMS].index(stream)])
    by_class = [np.flatnonzero(y == c) for c in (0, 1)]

    def mixed(majority: int, share: float) -> np.ndarray:
        kept = by_class[majority]
        few = g.choice(by_class[1 - majority], round(len(kept) * (1 - share) / share), replace=False)
        return g.permutation(np.concatenate([kept, few]))

    match STREAMS[stream]:
        case "order":
            return np.arange(n)[None]
        case "shuffled":
            return np.stack([g.permutation(n) for _ in range(ORDERS)])
        case "long":
            return np.stack([np.concatenate([g.permutation(n) for _ in range(LONG)]) for _ in range(ORDERS)])
        case "sorted":
            return np.stack([np.concatenate([g.permutation(by_class[c]) for c in cs]) for cs in ((0, 1), (1, 0))])
        case "single":
            return np.arange(n)[:, None]
    share = STREAMS[stream]
    return np.stack([mixed(majority, share) for majority in (0, 1) for _ in range(ORDERS // 2)])


STREAMS: dict[str, str | float] = {
    "in order": "order",
    "shuffled": "shuffled",
    "class after class": "sorted",
    "80:20": 0.8,
    "90:10": 0.9,
    "one class": 1.0,
    "one clip only": "single",
    "long": "long",
    "long, drifting": "long",
    "long, changed at once": "long",
}


def drift(stream: str, orders: np.ndarray, group: str, person: int) -> Tensor | None:
    "Where a changing resting face moves each clip, [S, K, D]."
    k = orders.shape[1]
    if stream == "long, drifting":
        share = torch.linspace(0, 1, k)
    elif stream == "long, changed at once":
        share = (torch.arange(k) >= k // 2).float()
    else:
        return None
    return (share[:, None] * torch.as_tensor(rest_changes(group)[person])).expand(len(orders), k, -1)


def _code() -> str:
    return content_hash(Path(__file__).read_bytes(), MODELS)


def kept_logits(task: str, group: str, stream: str, way: Way | None) -> np.ndarray:
    "Logits [P, S, K, C] of everybody's clips by the personal head, or by CLIP-AU where `way` is None."
    facts = (_code(), task, group, stream, way and sorted(asdict(way).items()))
    path = KEPT / f"logits-{content_hash(repr(facts))}.npy"
    if not path.is_file():
        found = _logits(task, group, stream, way)
        with atomic_path(path) as tmp, open(tmp, "wb") as f:
            np.save(f, found)
    return np.load(path)


def _logits(task: str, group: str, stream: str, way: Way | None) -> np.ndarray:
    everybody, model, found = people(task, group), head(task), []
    for i, person in enumerate(everybody):
        orders = draws(person, stream)
        shift = drift(stream, orders, group, i)
        if way is None:
            x = torch.as_tensor(person.clips)[orders]
            x = (x if shift is None else x + shift[:, :, None]).flatten(0, 1)
            z = in_batches(model, x)
        else:
            other = everybody[(i + 1) % len(everybody)]
            z = in_batches(model.personal.head, relative(task, person, other, orders, way, shift))
        found.append(z.view(*orders.shape, -1))
    return torch.stack(found).numpy()


def kept_thresholded(task: str, group: str, stream: str, way: Way) -> np.ndarray:
    "The same after the personal threshold, estimated at each clip from the clips so far."
    facts = (_code(), task, group, stream, sorted(asdict(way).items()))
    path = KEPT / f"threshold-{content_hash(repr(facts))}.npy"
    if not path.is_file():
        z, prior = torch.as_tensor(kept_logits(task, group, stream, way)), head(task).personal.prior
        at_once = torch.func.vmap(lambda known: personal_threshold(known, prior))
        own = [at_once(z.flatten(0, 1)[:, : k + 1]) for k in range(z.shape[2])]
        with atomic_path(path) as tmp, open(tmp, "wb") as f:
            np.save(f, (z - torch.stack(own, 1).view_as(z)).numpy())
    return np.load(path)


def truth(task: str, group: str, stream: str) -> np.ndarray:
    "Class numbers [P, S, K]."
    return np.stack([p.y[draws(p, stream)] for p in people(task, group)])
