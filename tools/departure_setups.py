"""CLIP-AUTT with some departures of the released code, and how it is measured on the embedded benchmark.

Everything measured is kept, so an interrupted call goes on."""

import json
import warnings
from collections.abc import Sequence
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from build_assets import embedded
from departure_heads import train_head
from pages import ROOT
from torch import Tensor

from clip_autt.au import AUBank
from clip_autt.backbone import Backbone, UnseenTokenWarning, load_backbone
from clip_autt.faces.videos import kept_target_videos
from clip_autt.features import LabeledVideo, VideoFeatures, by_subject
from clip_autt.model import ClipAU
from clip_autt.released import Departures, ReleasedClipAUTT
from clip_autt.utils.files import atomic_path, content_hash
from clip_autt.utils.weights import weights_hash

ASSETS = ROOT / "build" / "assets"
N_PASSES, CLIP_FRAMES = 10, 20


@dataclass(frozen=True)
class Setup:
    "CLIP-AUTT with some departures; as it stands, the method as described. `RELEASED` has those of the released code."

    departures: Departures = field(default_factory=Departures.none)  # 1, 2, 3, 5, 8, 15, 16: switches of the library
    predict_on: str = "video"  # 'window', half of 2: the prediction is the chosen window's, after the update
    frames: str = "all"  # 7, 11, 12: a key of FRAMES
    batch: int = 0  # 4: drop_last with batches of this size; 0 keeps all
    passes: str = "one"  # 6: 'best' or 'last' of ten
    head: str = "bundled"  # 9, 10, 13: a key of HEADS

    def turned(self, **switches) -> "Setup":
        "With some switches changed, those of `departures` by their own names."
        inner = {k: x for k, x in switches.items() if hasattr(self.departures, k)}
        outer = {k: x for k, x in switches.items() if k not in inner}
        return replace(self, departures=replace(self.departures, **inner), **outer)

    def method(self, model: ClipAU) -> ReleasedClipAUTT:
        return ReleasedClipAUTT(model, departures=self.departures, predict_on=self.predict_on, untrained_ok=True)


PAPER = Setup()
RELEASED = Setup(Departures())


# ---- what is done to the videos


def taken(v: VideoFeatures, at: Tensor) -> VideoFeatures:
    "A video made of some frames of another, in the given order; the times stay in order."
    return replace(v, frames=v.frames[at], times=v.times[: len(at)], found=v.found[at])


def wrapped(v: VideoFeatures, seed: int) -> VideoFeatures:
    "Twenty frames from a random start; past the end the video begins again."
    start = int(torch.randint(len(v), (), generator=torch.Generator().manual_seed(seed)))
    return taken(v, (start + torch.arange(min(CLIP_FRAMES, len(v)))) % len(v))


def string_sorted(v: VideoFeatures, seed: int) -> VideoFeatures:
    "Frames in the order of their numbers as text: 0, 1, 10, 11, ..., 2, 20, ..."
    return taken(v, torch.tensor(sorted(range(len(v)), key=str)))


def without_first(v: VideoFeatures, seed: int) -> VideoFeatures:
    return taken(v, torch.arange(1, len(v))) if len(v) > 1 else v


FRAMES = {"all": lambda v, seed: v, "wrapped": wrapped, "string-sorted": string_sorted, "without first": without_first}


# ---- how it is scored


def right(logits: Tensor, own: Sequence[LabeledVideo], classes: Sequence[str]) -> float:
    "Share of a person's videos that are classified right."
    return float(np.mean([classes[i] == x.label for i, x in zip(logits.argmax(-1).tolist(), own, strict=True)]))


def score_person(method: ReleasedClipAUTT, own: Sequence[LabeledVideo], passes: str = "one") -> float:
    "WAR of one person: of the only pass, the last, or the best by labels, whose prompt is then kept."
    found = []
    for _ in range(1 if passes == "one" else N_PASSES):
        logits = torch.stack([r.logits for r in method.adapt_many([x.video for x in own])])
        found.append((right(logits, own, method.model.classes), method.state_dict()))
    war, state = max(found, key=lambda p: p[0]) if passes == "best" else found[-1]
    method.load_state_dict(state)
    return war


def run(model: ClipAU, setup: Setup, videos: Sequence[LabeledVideo], seed: int = 0) -> dict:
    "Mean WAR over people, and the fraction of the videos that were scored at all."
    changed = [x._replace(video=FRAMES[setup.frames](x.video, 1_000_003 * seed + i)) for i, x in enumerate(videos)]
    people = by_subject(changed).values()
    groups = [own[: len(own) // setup.batch * setup.batch] if setup.batch else own for own in people]
    method = setup.method(model)
    scores = [score_person(method, own, setup.passes) for own in groups if own]
    return dict(war=float(np.mean(scores)) if scores else None, scored=sum(map(len, groups)) / len(videos))


# ---- what is computed once


@cache
def clip() -> Backbone:
    return load_backbone("facs-tiny")


@cache
def strangers(task: str, seed: int, jobs: int = 1) -> list[LabeledVideo]:
    "Ten people, filmed once for all pages."
    return kept_target_videos(clip(), task, seed, n_jobs=jobs, progress=False)


@cache
def source(task: str, jobs: int = 1) -> tuple[list[LabeledVideo], list[LabeledVideo]]:
    "People to train and to validate on, shared with `make assets`."
    return embedded(ASSETS, task, clip(), jobs)


@cache
def head(task: str, name: str) -> ClipAU:
    "A head by name, trained at its first use."
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UnseenTokenWarning)
    if name == "bundled":
        return ClipAU.from_pretrained(f"facs-tiny/{task}", backbone=clip())
    path = ASSETS / f"{clip().hash}-{task}-head-{name.replace(' ', '-')}"
    if not (path / "config.json").is_file():
        train_head(name, clip(), task, *source(task)).save_pretrained(path)
        print(task, "trained the head:", name, flush=True)
    return ClipAU.from_pretrained(path, backbone=clip())


def prepare(task: str, name: str) -> None:
    "Train a head if need be."
    head(task, name)


def measure(folder: Path, task: str, seed: int, setup: Setup) -> dict:
    "WAR of a setup on the ten people of a seed, computed once."
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UnseenTokenWarning)
    model = head(task, setup.head)
    name = content_hash(json.dumps(asdict(setup), sort_keys=True), weights_hash(model.state_dict()))
    path = folder / f"{clip().hash}-{task}-{seed}-departure-{name}.json"
    if not path.is_file():
        if setup.head == "underscores":
            model = copy(model)
            model.bank = AUBank.default()  # tuned prompts are in plain words
        found = run(model, setup, strangers(task, seed), seed)
        with atomic_path(path) as tmp:
            tmp.write_text(json.dumps(dict(asdict(setup), **found)))
        print(task, seed, {k: x for k, x in vars(setup).items() if x != getattr(PAPER, k)}, found, flush=True)
    return json.loads(path.read_text())
