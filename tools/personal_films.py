"""Rendered people for docs/personal_settings.md, filmed and embedded once and kept in build/personal_settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from pages import ROOT

from clip_autt.backbone import Backbone
from clip_autt.evaluation.embedded import load_head
from clip_autt.faces.people import DomainShift, Subject, render, sample_shot
from clip_autt.faces.tasks import SOURCE_DOMAIN, SOURCE_SUBJECTS, TARGET_DOMAIN, TASKS, film_person
from clip_autt.faces.videos import kept_target_videos
from clip_autt.features import by_subject, encode_clip
from clip_autt.utils.files import atomic_path, code_hash, content_hash
from clip_autt.video.detector import best_faces

KEPT = ROOT / "build" / "personal_settings"
STRANGERS = 0, 10, 20  # first of ten people each; no choice may be made on them
VALIDATION = 30, 40  # the same, to choose on
FILMED = range(30_000, 30_040)  # to choose on, too; their pictures are shown to the face detector
CLIPS, SOURCE_CLIPS = 12, 2  # of each validation person, of each training person
PORTRAITS = 12  # pictures of each resting face, from which a change of it is measured


@dataclass(frozen=True, eq=False)
class Person:
    "The clips of one person."

    name: str
    clips: np.ndarray  # float32 [n, T, D]
    sure: np.ndarray | None  # [n, T] the detector's confidence, where the pictures were at hand
    y: np.ndarray  # int [n], 1 where the task's state is shown


def balanced(person: Person, n: int) -> Person:
    "The first clips of either class, n in all, in their order."
    rank = np.where(person.y == 1, np.cumsum(person.y == 1), np.cumsum(person.y == 0))
    kept = rank <= n // 2
    return Person(person.name, person.clips[kept], None if person.sure is None else person.sure[kept], person.y[kept])


def filmed(backbone: Backbone, task: str, number: int, n: int, domain: DomainShift) -> dict[str, np.ndarray]:
    "One person's clips as arrays: frames [n, T, D], confidence [n, T], classes [n]."
    torch.set_num_threads(1)
    clips = film_person(task, number, n, domain, number // 10 * 10, backbone.image_size)
    return dict(
        frames=np.stack([encode_clip(backbone, c, batch_size=128).frames.numpy() for c in clips]),
        sure=np.stack([best_faces(c.frames)[0] for c in clips]),
        y=np.array([TASKS[task].classes.index(c.label) for c in clips]),
    )


def kept_films(task: str, numbers: Sequence[int], n: int, domain: DomainShift, jobs: int = 2) -> list[Person]:
    "Some people, filmed only once."
    backbone = load_head(task).backbone
    world = content_hash(repr((backbone.hash, code_hash("faces"), domain, n)))
    paths = {number: KEPT / f"{task}-{number}-{world}.npz" for number in numbers}

    def one(number: int) -> None:
        arrays = filmed(backbone, task, number, n, domain)
        with atomic_path(paths[number]) as tmp, open(tmp, "wb") as f:
            np.savez(f, **arrays)

    Parallel(n_jobs=jobs)(delayed(one)(number) for number, path in paths.items() if not path.is_file())
    return [read_person(path, number) for number, path in paths.items()]


def read_person(path: Path, number: int) -> Person:
    "What `kept_films` wrote."
    with np.load(path) as f:
        return Person(f"s{number}", f["frames"], f["sure"], f["y"])


def targets(task: str, seeds: Sequence[int]) -> list[Person]:
    "The people of the embedded benchmark, 20 clips each."
    backbone, classes = load_head(task).backbone, TASKS[task].classes
    videos = [x for seed in seeds for x in kept_target_videos(backbone, task, seed, progress=False)]
    return [
        Person(
            who, np.stack([x.video.frames.numpy() for x in own]), None, np.array([classes.index(x.label) for x in own])
        )
        for who, own in by_subject(videos).items()
    ]


@lru_cache
def people(task: str, group: str) -> list[Person]:
    "Everybody of a group."
    match group:
        case "strangers":
            return targets(task, STRANGERS)
        case "training":
            return kept_films(task, SOURCE_SUBJECTS, SOURCE_CLIPS, SOURCE_DOMAIN)
        case "filmed":  # pain has the shortest clips, and there is time for more of them
            found = kept_films(task, FILMED, 16 if task == "pain" else CLIPS, TARGET_DOMAIN)
            return [balanced(p, CLIPS) for p in found]
    return [balanced(p, CLIPS) for p in targets(task, VALIDATION)] + people(task, "filmed")


def rest_change(backbone: Backbone, number: int) -> np.ndarray:
    "Where the embeddings of a person go, [D], when the resting face becomes that of somebody else."
    torch.set_num_threads(1)
    before, other = (Subject.sample(k, TARGET_DOMAIN) for k in (number, number + 500))
    after = Subject(**{**vars(before), "rest": other.rest})
    still, shots = np.zeros((1, len(before.rest))), np.random.default_rng([number, 17]).spawn(PORTRAITS)
    shots = [sample_shot(g, TARGET_DOMAIN) for g in shots]
    moved = [
        backbone.encode_frames(np.concatenate([render(still, who, s, size=backbone.image_size) for s in shots]))
        for who in (before, after)
    ]
    return (moved[1] - moved[0]).mean(0).numpy()


@lru_cache
def rest_changes(group: str, jobs: int = 2) -> np.ndarray:
    "`rest_change` of everybody of a group, [P, D]."
    numbers = [int(p.name[1:]) for p in people("pain", group)]
    backbone = load_head("pain").backbone
    path = KEPT / f"rest-{group}-{content_hash(repr((backbone.hash, code_hash('faces'), PORTRAITS, numbers)))}.npy"
    if not path.is_file():
        rows = Parallel(n_jobs=jobs)(delayed(rest_change)(backbone, number) for number in numbers)
        with atomic_path(path) as tmp, open(tmp, "wb") as f:
            np.save(f, np.stack(rows))
    return np.load(path)


if __name__ == "__main__":
    for task in TASKS:
        print("filmed", task, len(people(task, "filmed")), flush=True)
    for task in TASKS:
        print("training", task, len(people(task, "training")), flush=True)
