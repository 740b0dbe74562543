# ruff: noqa: E501  (templates of pages)
"""The search for the method, on validation strangers: which parts help? Writes docs/search.md: `make search`. Every result is kept in build/search, so an interrupted call goes on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import accumulate
from operator import add, getitem
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from build_assets import kept
from numpy.random import default_rng
from torch import Tensor

from clip_autt.autt import ClipAUTT
from clip_autt.backbone import load_backbone
from clip_autt.personal.baseline import Baseline, normalize_to_baseline, population_baseline
from clip_autt.evaluation.evaluate import evaluate
from clip_autt.evaluation.agreement import agreement
from clip_autt.features import LabeledVideo
from clip_autt.utils.assets import assets
from clip_autt.utils.files import atomic_path, content_hash
from clip_autt.train import zero_shot_au_scores
from clip_autt.model import ClipAU
from clip_autt.faces.people import Subject
from clip_autt.personal.method import _baseline, _handful, _people
from clip_autt.personal.threshold import LogitPrior, centred, logit_prior, personal_threshold
from clip_autt.evaluation.stream import Stream, arrange
from clip_autt.faces.tasks import TARGET_DOMAIN, TASKS, Scene, find_task, stride
from clip_autt.train import fit, outputs_of
from clip_autt.faces.videos import kept_target_videos, source_videos

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "build" / "search"
HASHES = json.loads((assets() / "hashes.json").read_text())
SEEDS, HEADS = range(30_000, 30_060, 10), (0, 1)
STREAMS = {"balanced": Stream(), "80:20": Stream("imbalanced", majority_fraction=0.8), "one class": Stream("imbalanced", majority_fraction=1.0)}


@dataclass(frozen=True)
class Way:
    "What a head is trained on, and sees later."

    own: float | None = None  # share of the video's own center; None: raw embeddings
    spread: bool = False  # divide by the person's liveliness
    handfuls: bool = False  # trained with random handfuls of a person's videos; False: with all of them
    anchor: float = 0.0

    @property
    def name(self) -> str: return "-".join(str(x) for x in vars(self).values())


RAW, VIDEO, PERSON, LIVELY = Way(), Way(1), Way(0), Way(0, True)
HALF_ALL, HALF, ANCHORED = Way(0.5, True), Way(0.5, True, True), Way(0.5, True, True, 0.5)
AROUND = {"the person's center": Way(1, True, True, 0.5), "the video's center": Way(0, True, True, 0.5), "liveliness": Way(0.5, False, True, 0.5)}
AROUND |= {"handfuls": Way(0.5, True, False, 0.5), "the anchor": HALF}
SHARES, PLAIN = [Way(own, True, True) for own in (0, 0.3, 0.5, 0.7, 1)], [Way(own, False, True) for own in (0, 0.5)]


class World(NamedTuple):
    task: str
    train: list[LabeledVideo]
    val: list[LabeledVideo]  # to choose the epoch with
    strangers: list[LabeledVideo]


def seen(x: LabeledVideo, person: Baseline, base: Baseline, way: Way) -> LabeledVideo:
    "A video relative to a person's baseline, as a way asks for it."
    if way.own is None: return x
    if not way.spread: person = replace(person, spread=base.spread)
    return LabeledVideo(replace(x.video, frames=normalize_to_baseline(x.video.frames, person, base, way.own)), x.label)


def views(videos: Sequence[LabeledVideo], base: Baseline, way: Way, seed: int, draws: int) -> list[LabeledVideo]:
    "Each video `draws` times: against all of the person's videos, or against a random handful each time."
    g, found = torch.Generator().manual_seed(seed), []
    people = [([(x, Baseline.of(x.video.frames)) for x in own], _baseline(own)) for own in _people(videos).values()]
    for _ in range(draws):
        for own, everything in people:
            found += [seen(x, _handful(own, i, g) if way.handfuls else everything, base, way) for i, (x, _) in enumerate(own)]
    return found


class Said(NamedTuple):
    logits: Tensor  # [k, C] of one person's videos, in their order
    au: Tensor  # [k, N]
    y: Tensor  # [k]


@torch.no_grad()
def answers(head: ClipAU, base: Baseline, way: Way, videos: Sequence[LabeledVideo], knows: str = "past") -> list[Said]:
    "What a head says about each person, who is known from the 'past', from 'all' of the videos, or from this 'video'."
    said = []
    for own in _people(videos).values():
        each = [Baseline.of(x.video.frames) for x in own]
        past = [*accumulate(each, add)]
        known = {"past": past, "all": past[-1:] * len(own), "video": each}[knows]
        logits, au = outputs_of(head, [seen(x, person, base, way).video.frames for x, person in zip(own, known)])
        said.append(Said(logits, au, torch.tensor([head.classes.index(x.label) for x in own])))
    return said


def war(said: Sequence[Said], better=lambda logits, y: logits) -> float:
    return float(np.mean([(better(s.logits, s.y).argmax(-1) == s.y).float().mean() for s in said]))


def balanced_out(strength: float, kappa: float = 5.0):
    "A diversity term in closed form: the mean of k logits so far is taken off, with a strength that grows as k / (k + kappa)."
    k = lambda z: torch.arange(1, len(z) + 1)[:, None]
    return lambda logits, y: centred(logits) - strength * centred(logits).cumsum(0) / (k(logits) + kappa)


def shifted(prior: LogitPrior, **kwargs):
    "The personal threshold, from the videos so far."
    return lambda logits, y: centred(logits) - torch.stack([personal_threshold(logits[: k + 1], prior, **kwargs) for k in range(len(logits))])


def best_threshold(logits: Tensor, y: Tensor) -> Tensor:
    "The best of all thresholds, chosen with labels: a bound."
    d = logits[:, 1] - logits[:, 0]
    cuts = torch.cat([d - 1e-4, d + 1e-4])
    cut = cuts[((d > cuts[:, None]).long() == y).float().mean(1).argmax()]
    return torch.stack([torch.zeros_like(d), d - cut], 1)


def true_aus(task: str) -> np.ndarray:
    "Mean true intensities of the strangers' clips [V, N], as `make_clips` plays them, without drawing."
    t, found = find_task(task), []
    for seed in SEEDS:
        for person in (Subject.sample(n, TARGET_DOMAIN) for n in range(seed, seed + 10)):
            for i, which in enumerate(default_rng([person.seed, seed, 5]).permutation(20) % 2):
                scene = Scene(np.arange(t.frames) / t.fps, default_rng([person.seed, seed * 10_000 + i, [*TASKS].index(task), 2]))
                t.script(scene, person, t.classes[which])
                found.append(np.clip(scene.aus * person.gain, 0, 1)[:: stride(task)].mean(0))
    return np.stack(found)


def judge(world: World, way: Way, seed: int) -> dict:
    "Train a head one way, as `prepare_personal` does, and measure it."
    base = population_baseline(_baseline(own) for own in _people(world.train).values())
    head = ClipAU(load_backbone("facs-tiny"), classes=TASKS[world.task].classes, seed=seed)
    fit(head, views(world.train, base, way, seed, 4), views(world.val, base, way, seed + 1, 3), epochs=4, batch_size=16, anchor=way.anchor, seed=seed, progress=False)
    streams = {name: answers(head, base, way, arrange(s, world.strangers)) for name, s in STREAMS.items()}
    found = {"none": {name: war(said) for name, said in streams.items()}}
    found["none"] |= {knows: war(answers(head, base, way, world.strangers, knows)) for knows in ("all", "video")}
    if way in (HALF, ANCHORED):
        truth, raw = true_aus(world.task), answers(head, base, RAW, world.strangers)
        scores = dict(personal=torch.cat([s.au for s in streams["balanced"]]), raw=torch.cat([s.au for s in raw]), frozen=zero_shot_au_scores(head, world.strangers))
        shown = (truth > 0.02).sum(0) > 20  # AUs that more than 20 videos show
        found["agreement"] = {name: float(np.nanmean(agreement(x, truth).per_au[shown])) for name, x in scores.items()}
    if way == ANCHORED:
        coming = answers(head, base, way, world.val)
        prior = logit_prior(torch.cat([s.logits for s in coming]), torch.cat([s.y for s in coming]), [str(i) for i, s in enumerate(coming) for _ in s.y])
        remedies = {"diversity 0.5": balanced_out(0.5), "diversity 1": balanced_out(1.0), "best": best_threshold}
        remedies |= {"threshold": shifted(prior), "wide": shifted(prior, wider=2.0, a=1.5)}
        found |= {r: {name: war(said, better) for name, said in streams.items()} for r, better in remedies.items()}
        better = torch.stack([remedies["threshold"](s.logits, s.y).argmax(-1) == s.y for s in streams["balanced"]]).float()
        plain = torch.stack([s.logits.argmax(-1) == s.y for s in streams["balanced"]]).float()
        found["at"] = {part: [float(x[:, span].mean()) for x in (plain, better)] for part, span in SPANS.items()}
    return found


SPANS = {"1": slice(0, 1), "2 to 5": slice(1, 5), "6 to 10": slice(5, 10), "11 to 20": slice(10, 20)}
METHODS = "clip-au", "clip-autt", "clip-au+baseline", "clip-autt+baseline", "personal"


def by_person(table) -> float:
    return float((table.predicted == table.label).groupby(table.subject).mean().mean())


def run_methods(world: World) -> dict:
    "The bundled model, prompt tuning and the oracle, through the library's own benchmark; the paper's step pushed far harder on the first ten people."
    model = ClipAU.from_pretrained(f"facs-tiny/{world.task}")
    table = evaluate(METHODS, world.strangers, model, progress=False, with_oracle=True).table
    said = {m: table[table.method == m].set_index("video") for m in (*METHODS, "oracle")}
    changed = {m: int((said[m].predicted != said[n].predicted).sum()) for m, n in (METHODS[1::-1], METHODS[3:1:-1])}
    uneven = {name: by_person(evaluate(["clip-au"], world.strangers, model, progress=False, stream=s).table) for name, s in STREAMS.items()}
    ms = {m: float(1e3 * said[m].seconds.median()) for m in METHODS}
    pushed = evaluate({"pushed": ClipAUTT(model, steps=20, lr=0.1)}, world.strangers[:200], model, progress=False).table
    both = {"clip-au": by_person(said["clip-au"].iloc[:200]), "clip-autt, pushed": by_person(pushed)}
    return dict(war={m: by_person(t) for m, t in said.items()}, changed=changed, ms=ms, clip_au=uneven, pushed=both)


def remember(task: str, name: str, make) -> dict:
    "What `make` returns, computed once for each set of weights."
    weights = content_hash(*(h for file, h in HASHES.items() if file.endswith("clip.safetensors") or f"/{task}/" in file))
    path = KEPT / f"{weights}-{task}-{name}.json"
    if path.is_file(): return json.loads(path.read_text())
    with atomic_path(path) as tmp: tmp.write_text(json.dumps(make(), indent=1))
    print(f"measured {task} {name}", flush=True)
    return remember(task, name, make)


def row(name: str, values: Sequence[float], text="{:.1f}", scale: float = 100.0) -> str:
    return f"| {name} | " + " | ".join(text.format(scale * x) for x in [*values, np.mean(values)]) + " |"


def tables(found: dict[str, dict[Way, list[dict]]], methods: dict[str, dict]) -> dict[str, str]:
    "The tables of the page by name; WAR in percent, the mean of the heads."
    of = lambda w, *keys: [np.mean([reduce(getitem, keys, f) for f in by_way[w]]) for by_way in found.values()]
    rows = lambda cells, **kwargs: "\n".join(row(name, of(w, *keys), **kwargs) for name, w, *keys in cells)
    streams = lambda name, w, remedy="none": [(f"{name} | {s}", w, remedy, s) for s in STREAMS]
    whens = lambda name, w: [(f"{name} | offline", w, "none", "all"), (f"{name} | online", w, "none", "balanced")]
    trained = lambda name, a, b: [*streams(f"{name} | all", a), *streams(f"{name} | handfuls", b)]
    share = lambda name, w: [*streams(name, w), (f"{name} | one video known", w, "none", "video")]
    wars = {m: [r["war"][m] for r in methods.values()] for m in (*METHODS, "oracle")}
    ours, start, best = (np.mean(wars[m]) for m in ("personal", "clip-au", "oracle"))
    changed = {m: sum(r["changed"][m] for r in methods.values()) for m in METHODS[1:4:2]}
    cost = {m: f" {changed.get(m, '')} | {np.mean([r['ms'][m] for r in methods.values()]):.0f} |" for m in METHODS}
    apart = [abs(a["none"]["balanced"] - b["none"]["balanced"]) for by_way in found.values() for a, b in by_way.values()]
    meaning = [(f"{name} | {a:g}", w, "agreement", frames) for name, frames in (("relative", "personal"), ("raw", "raw")) for a, w in ((0, HALF), (0.5, ANCHORED))]
    return dict(
        reference="\n".join(row(m, wars[m]) for m in ("clip-au", "personal", "oracle")),
        gain=f"{100 * (ours - start):+.1f}", gap=f"{(ours - start) / (best - start):.0%}",
        apart=f"{100 * np.mean(apart):.1f}",
        baselines=rows([("raw | either", RAW, "none", "all"), ("minus the video's median | either", VIDEO, "none", "all"), *whens("minus the person's median", PERSON), *whens("divided by liveliness, too", LIVELY)]),
        handfuls=rows([*trained("person, no liveliness", PERSON, PLAIN[0]), *trained("person", LIVELY, SHARES[0]), *trained("half video, half person", HALF_ALL, HALF)]),
        shares=rows([*share("1, no liveliness", VIDEO), *share("0.5, no liveliness", PLAIN[1]), *(cell for w in SHARES for cell in share(f"{w.own:g}", w))]),
        around=rows([*share("nothing", ANCHORED), *(cell for name, w in AROUND.items() for cell in share(name, w))]),
        diversity=rows([*streams("none", ANCHORED), *streams("0.5", ANCHORED, "diversity 0.5"), *streams("1", ANCHORED, "diversity 1")]),
        thresholds=rows([*streams("none", ANCHORED), *streams("estimated", ANCHORED, "threshold"), *streams("estimated, prior 2 times wider", ANCHORED, "wide"), ("best one, with labels | balanced", ANCHORED, "best", "balanced")]),
        clip_au="\n".join(row(f"CLIP-AU | {s}", [r["clip_au"][s] for r in methods.values()]) for s in STREAMS),
        spans=rows([(f"{part} | {name}", ANCHORED, "at", part, i) for part in SPANS for i, name in enumerate(("baseline", "and threshold"))]),
        prompts="\n".join(row(m, wars[m]) + cost[m] for m in METHODS),
        pushed="\n".join(row(m, [r["pushed"][m] for r in methods.values()]) for m in ("clip-au", "clip-autt, pushed")),
        anchor=rows([*streams("0", HALF), *streams("0.5", ANCHORED)]),
        meaning=rows([("raw | the backbone's own cosines", ANCHORED, "agreement", "frozen"), *meaning], text="{:.2f}", scale=1),
    )


def main() -> None:
    torch.set_num_threads(1)
    KEPT.mkdir(parents=True, exist_ok=True)
    clip, found, methods = load_backbone("facs-tiny"), {}, {}
    ways = list(dict.fromkeys([RAW, VIDEO, PERSON, LIVELY, HALF_ALL, *SHARES, *PLAIN, ANCHORED, *AROUND.values()]))
    for task in TASKS:
        source = kept(ROOT / "build" / "assets" / f"{task}-{clip.hash}.pt", lambda task=task: source_videos(clip, task, n_jobs=-1))
        world = World(task, *source, [x for s in SEEDS for x in kept_target_videos(clip, task, s, folder=ROOT / "build" / "cache", n_jobs=-1, progress=False)])
        found[task] = {w: [remember(task, f"{w.name}-{seed}", lambda w=w, seed=seed, world=world: judge(world, w, seed)) for seed in HEADS] for w in ways}
        methods[task] = remember(task, "methods", lambda world=world: run_methods(world))
    page = (ROOT / "tools" / "search_page.md").read_text(encoding="utf-8")
    page = page.format(n_people=10 * len(SEEDS), n=200 * len(SEEDS), n_heads=len(HEADS), **tables(found, methods))
    (ROOT / "docs" / "search.md").write_text(page, encoding="utf-8")


if __name__ == "__main__": main()
