"""Compare settings of PFT's translator on the validation people: the table in nbs/methods/17_pft.ipynb.

Needs the embedded source people in build/assets, which `make assets` leaves there. The first three quiet films of each
validation person are given, all others are scored. No stranger is used.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from build_assets import NAME, TARGET, TRANSLATOR, embedded

from clip_autt.backbone import load_backbone
from clip_autt.faces.tasks import TASKS
from clip_autt.features import LabeledVideo, VideoFeatures, by_subject
from clip_autt.methods.neutral_shift import NeutralShift
from clip_autt.methods.pft import PFT, prepare_translator
from clip_autt.model import ClipAU

CONTROL = 3  # quiet films of each person
SETTINGS = {
    "literal": {},
    "literal, moments": dict(style="moments"),
    "literal, whole films": dict(window=None),
    "residual": dict(residual=True),
    "residual, moments": dict(residual=True, style="moments"),
    "residual, moments, weight 10 (bundled)": TRANSLATOR,
}
Answer = Callable[[VideoFeatures], str | None]


def accuracy(people: list[list[LabeledVideo]], rest: str, told: Callable[[list[VideoFeatures]], Answer]) -> float:
    "The mean over people of the share of right answers."
    shares = []
    for own in people:
        quiet = [x.video for x in own if x.label == rest][:CONTROL]
        answer, scored = told(quiet), [x for x in own if not any(x.video is v for v in quiet)]
        shares.append(sum(answer(x.video) == x.label for x in scored) / len(scored))
    return sum(shares) / len(shares)


def told(method: Callable, model: ClipAU, enroll: bool = True, **settings) -> Callable[[list[VideoFeatures]], Answer]:
    "Makes a method that has seen the quiet films of a person, or knows nothing about anybody."

    def one(quiet: list[VideoFeatures]) -> Answer:
        m = method(model, **settings)
        if enroll:
            m.enroll(quiet)
        return lambda v: m.predict(v).label

    return one


def rows(model: ClipAU, train: list[LabeledVideo], val: list[LabeledVideo]) -> dict[str, list[float]]:
    "For each setting: the source translator, PFT as described, PFT as released."
    people, rest = [*by_subject(val).values()], model.classes[0]
    found = {
        "CLIP-AU": [accuracy(people, rest, lambda _: lambda v: model.predict(v).label)],
        "neutral shift": [accuracy(people, rest, told(NeutralShift, model))],
    }
    for name, settings in SETTINGS.items():
        if "window" in settings:
            settings = dict(window=min(len(x.video) for x in train))
        prepare_translator(model, train, **settings)
        ways = told(PFT, model, enroll=False), told(PFT, model), told(PFT, model, variant="released")
        found[name] = [accuracy(people, rest, way) for way in ways]
        print(name, found[name], file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=TARGET.parents[2] / "build" / "assets")
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    clip = load_backbone(NAME)
    tasks = {
        task: rows(ClipAU.from_pretrained(TARGET / task, clip), *embedded(folder, task, clip, 1)) for task in TASKS
    }
    print(f"| | {' | '.join(tasks)} |\n|---|{'---|' * len(tasks)}")
    for name in next(iter(tasks.values())):
        cells = [" / ".join(f"{100 * x:.1f}" for x in found[name]) for found in tasks.values()]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
