"""Where action units are and where models look: a part of docs/beyond.md (`make beyond`).

What is measured is kept in build/beyond, under a name that holds weights, code and settings.
"""

import time
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from pages import MODELS, ROOT, kept, percent, table
from torch import Tensor

from clip_autt.evaluation.embedded import load_head
from clip_autt.evaluation.metrics import paired_bootstrap
from clip_autt.evaluation.saliency import (
    Score,
    au_score,
    gradient_maps,
    map_cosine,
    map_iou,
    margin_score,
    occlusion_map,
    pointing_game,
    prompt_score,
    shuffled_backbone,
)
from clip_autt.faces.au_maps import clip_maps, face_map, subject_maps
from clip_autt.faces.guidance import (
    CODEBOOK_EMOTIONS,
    GuidanceRecipe,
    GuidedTower,
    Lessons,
    emotion_lessons,
    guidance_term,
    train_guided,
)
from clip_autt.faces.head import AU_ROW, BANK
from clip_autt.faces.people import Subject, render
from clip_autt.faces.pretrain import pixels
from clip_autt.faces.tasks import make_clip
from clip_autt.utils.files import content_hash

KEPT = ROOT / "build" / "beyond"
CODE = "faces/au_maps.py", "faces/guidance.py", "evaluation/saliency.py"
WEIGHTS = content_hash(MODELS, *((ROOT / "clip_autt" / name).read_bytes() for name in CODE))
UNITS = "AU1 AU2 AU4 AU5 AU6 AU7 AU9 AU10 AU12 AU14 AU15 AU17 AU18 AU20 AU24 AU25 AU26 AU28 AU31 AU33 AU38 AU43".split()
ALONE = range(22_200, 22_200 + 2 * len(UNITS))  # people, each with one action unit
FILMED = range(22_300, 22_312)  # people with a film of pain
TRAINED, HELD_OUT = range(500_000, 500_060), range(500_110, 500_150)
RECIPE = GuidanceRecipe()
GRADES = map_cosine, pointing_game, map_iou
Graded = dict[str, list[list[float]]]  # row -> three grades of each person


def name_of(part: str, *settings: object) -> str:
    "Of the file in which a part is kept."
    return f"maps-{part}-{content_hash(repr((WEIGHTS, *settings)))}.json"


def graded(maps: dict[str, Tensor], truth: Tensor) -> Graded:
    "Cosine, pointing and overlap of each picture, by row."
    return {row: [grade(x, truth).tolist() for grade in GRADES] for row, x in maps.items()}


def timed(make: Callable[[], Tensor], n: int) -> tuple[Tensor, float]:
    "What is made, and milliseconds of processor time for each of n."
    start = time.process_time()
    return make(), 1000 * (time.process_time() - start) / n


def alone() -> dict:
    "One action unit in each face: where its sentence, and its score in a head, are seen."
    head = load_head("pain")
    plain, shuffled = head.backbone, shuffled_backbone(head.backbone)
    units = [UNITS[i % len(UNITS)] for i in range(len(ALONE))]
    people = [Subject.sample(number) for number in ALONE]
    pictures = [render({au: 0.9}, who) for au, who in zip(units, people, strict=True)]
    truth = torch.stack(
        [subject_maps({au: 0.9}, who, of=[au])[0, AU_ROW[au]] for au, who in zip(units, people, strict=True)]
    )
    sentence = lambda au: prompt_score(plain, f"a photo of a face with {BANK.prompts[AU_ROW[au]]}")
    ways: dict[str, Callable[[np.ndarray, str], Tensor]] = {
        "covering, sentence": lambda x, au: occlusion_map(plain, x, sentence(au)),
        "gradient, sentence": lambda x, au: gradient_maps(plain, x, sentence(au))[0],
        "covering, score in the pain head": lambda x, au: occlusion_map(plain, x, au_score(head, au)),
        "gradient, score in the pain head": lambda x, au: gradient_maps(plain, x, au_score(head, au))[0],
        "gradient, sentence, shuffled weights": lambda x, au: gradient_maps(shuffled, x, sentence(au))[0],
    }
    maps, ms = {}, {}
    for row, way in ways.items():
        make = lambda way=way: torch.stack([way(x, au) for x, au in zip(pictures, units, strict=True)])
        maps[row], ms[row] = timed(make, len(units))
    maps["any face (mean of the true maps)"] = (truth.sum(0) - truth) / (len(truth) - 1)
    maps["flat"] = torch.ones_like(truth)
    return dict(grades=graded(maps, truth), ms=ms)


def films() -> dict:
    "Films of pain: where the margin of pain over rest comes from."
    head, maps, truth = load_head("pain"), {}, []
    margin: Score = margin_score(head, "pain")
    ways = {
        "covering": lambda x: occlusion_map(head.backbone, x, margin),
        "gradient": lambda x: gradient_maps(head.backbone, x, margin).mean(0),
        "gradient, shuffled weights": lambda x: gradient_maps(shuffled_backbone(head.backbone), x, margin).mean(0),
    }
    clips = [make_clip("pain", number, "pain", 1, every=6) for number in FILMED]
    for number in FILMED:
        own, aus = clip_maps("pain", number, "pain", 1, every=6)
        truth.append(face_map(own, aus).mean(0))
    truth, ms = torch.stack(truth), {}
    for row, way in ways.items():
        maps[row], ms[row] = timed(lambda way=way: torch.stack([way(x.frames) for x in clips]), len(clips))
    maps["any face (mean of the true maps)"] = (truth.sum(0) - truth) / (len(truth) - 1)
    maps["flat"] = torch.ones_like(truth)
    return dict(grades=graded(maps, truth), ms=ms)


@cache
def lessons(people: range) -> Lessons:
    "Rendered once and kept: they cost more than the training."
    path = KEPT / name_of("lessons", people).replace(".json", ".pt")
    if path.is_file():
        stored = torch.load(path, weights_only=True)
        return Lessons(stored.pop("pictures").numpy(), **stored)
    made = emotion_lessons(people)
    parts = dict(labels=made.labels, true=made.true, textbook=made.textbook, people=made.people)
    KEPT.mkdir(parents=True, exist_ok=True)
    torch.save(dict(pictures=torch.from_numpy(made.pictures), **parts), path)
    return made


def guided(way: str) -> dict:
    "A tower trained with one kind of map: right answers, cosines of the layer and of the gradient, by person."
    train, test = lessons(TRAINED), lessons(HELD_OUT)
    maps = dict(none=train.true, flat=torch.ones_like(train.true), textbook=train.textbook, true=train.true)[way]
    net, recipe = GuidedTower(), RECIPE if way != "none" else GuidanceRecipe(0, RECIPE.steps, RECIPE.batch, RECIPE.lr)
    start = time.process_time()
    train_guided(net, train, maps, recipe)
    seconds = time.process_time() - start
    x = pixels(test.pictures).requires_grad_()
    logits, attention = net(x)
    margin = logits.gather(1, test.labels[:, None])[:, 0] - logits.mean(1)
    (slope,) = torch.autograd.grad(margin.sum(), x)
    near = torch.nn.functional.avg_pool2d(slope.abs().sum(1)[:, None], 5, 1, 2)[:, 0]
    shown = test.true.flatten(1).amax(1) > 0
    layer = [1 - float(guidance_term(t[None], a[None])) for t, a in zip(attention.detach(), test.true, strict=True)]
    values = dict(
        right=(logits.argmax(1) == test.labels).double(),
        layer=torch.tensor(layer).double(),
        cosine=map_cosine(near, test.true),
        pointing=pointing_game(near, test.true),
    )
    who = test.people.unique()
    own = {k: [float(v[(test.people == p) & (shown | (k == "right"))].mean()) for p in who] for k, v in values.items()}
    return dict(people=own, s=seconds)


def map_rows(found: dict, reference: str = "any face (mean of the true maps)") -> str:
    "Grades, and the gain of pointing over the map that is the same for every face."
    lines, base = [], found["grades"][reference][1]
    for row, (cosine, pointing, iou) in found["grades"].items():
        gain = "" if row == reference else f"{paired_bootstrap(pointing, base):+.2f}"
        cost = f"{found['ms'][row]:.0f}" if row in found["ms"] else "0"
        lines.append([row, *(f"{np.mean(x):.2f}" for x in (cosine, pointing, iou)), gain, cost])
    return table(["map", "cosine", "pointing", "IoU", "pointing against any face", "CPU ms"], lines)


def guidance_rows(found: dict[str, dict]) -> str:
    "Accuracy and cosines with each kind of map, and the gains over training without."
    plain, lines = found["none"]["people"], []
    for way, run in found.items():
        own = run["people"]
        gains = [
            "" if way == "none" else format(x, "+.2f" if k != "right" else "+.1f")
            for k in ("right", "cosine")
            for d in [paired_bootstrap(own[k], plain[k])]
            for x in [d.percent if k == "right" else d]
        ]
        means = [percent(np.mean(own["right"])), *(f"{np.mean(own[k]):.2f}" for k in ("layer", "cosine", "pointing"))]
        lines.append([way, means[0], gains[0], *means[1:3], gains[1], means[3], f"{run['s']:.0f}"])
    head = ["guided by", "accuracy", "gain", "layer cosine", "gradient cosine", "gain", "gradient pointing", "CPU s"]
    return table(head, lines)


def measure() -> dict[str, str]:
    "What stands in the section."
    torch.set_num_threads(1)
    ways = {
        way: kept(KEPT / name_of(f"guided-{way}", RECIPE, TRAINED, HELD_OUT), lambda way=way: guided(way))
        for way in ("none", "flat", "textbook", "true")
    }
    flat = 1 - float(guidance_term(torch.ones(7 * len(HELD_OUT), 8, 8), lessons(HELD_OUT).true))
    return dict(
        maps_alone=map_rows(kept(KEPT / name_of("alone", UNITS, ALONE), alone)),
        maps_films=map_rows(kept(KEPT / name_of("films", FILMED), films)),
        maps_guided=guidance_rows(ways),
        maps_n=str(len(ALONE)),
        maps_units=str(len(UNITS)),
        maps_films_n=str(len(FILMED)),
        maps_trained=str(len(TRAINED)),
        maps_held_out=str(len(HELD_OUT)),
        maps_pictures=str(len(TRAINED) * len(CODEBOOK_EMOTIONS)),
        maps_weight=f"{RECIPE.weight:g}",
        maps_steps=str(RECIPE.steps),
        maps_flat=f"{flat:.2f}",
    )


if __name__ == "__main__":
    print(*(f"{name}\n{text}\n" for name, text in measure().items()), sep="\n")
