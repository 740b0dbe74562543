# ruff: noqa: E501  (templates of pages)
"""Build the files of the package: `make assets`. What is finished is kept in build/assets, so an interrupted run goes on where it stopped."""

import argparse
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from joblib import Parallel, delayed

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from clip_autt.backbone import Backbone, load_backbone
from clip_autt.faces.album import Album, check_seeds, photograph_people
from clip_autt.faces.head import BANK
from clip_autt.faces.augment import as_filmed, shifted
from clip_autt.faces.pretrain import Recipe, enlarged, new_model, packed, retrieval_auc, tone_gap, train_tiny_clip
from clip_autt.faces.tasks import SOURCE_SUBJECTS, TASKS, VALIDATION_SUBJECTS
from clip_autt.faces.videos import kept_target_videos, source_videos, zero_shot_emotions
from clip_autt.features import LabeledVideo, VideoFeatures
from clip_autt.methods.pft import prepare_translator, translator_of
from clip_autt.methods.source_statistics import attach_source
from clip_autt.model import ClipAU
from clip_autt.personal.training import prepare_personal
from clip_autt.train import fit
from clip_autt.utils.assets import assets, write_hashes
from clip_autt.utils.files import atomic_path

ROOT = Path(__file__).resolve().parents[1]
NAME, TARGET = "facs-tiny", assets() / "facs-tiny"
TRAIN, VALIDATION, TEST = (100_000, 20_000), (900_000, 1_000), (910_000, 1_000)  # first person and how many
CHUNK = 1_000  # people
TRANSLATOR = dict(residual=True, style="moments", style_weight=10.0)  # chosen on the validation people
EMOTIONAL = range(920_000, 920_100)
for people in (SOURCE_SUBJECTS, VALIDATION_SUBJECTS, EMOTIONAL):
    check_seeds(people.start, len(people))


class Part(NamedTuple):
    "A part of the training."

    title: str
    size: int  # of the pictures
    film: Callable[..., Tensor]
    recipe: Recipe


PARTS = (
    Part("plain", 64, shifted, Recipe(5_000, lr=2e-3)),
    Part("filmed", 64, as_filmed, Recipe(2_000, lr=1.5e-3, seed=1)),
    Part("larger", 96, as_filmed, Recipe(3_000, lr=1e-3, seed=2)),
)


def chunk(folder: Path, first: int, n: int) -> Path:
    "The file with the pictures of some people, made if it is missing."
    path = folder / f"people-{first}-{n}.npz"
    if not path.is_file():
        torch.set_num_threads(1)
        album = photograph_people(first, n)
        with atomic_path(path) as tmp:
            np.savez(tmp, **{f.name: getattr(album, f.name) for f in fields(Album)})
        print(f"photographed {first} to {first + n - 1}", flush=True)
    return path


def album(folder: Path, first: int, n: int, jobs: int) -> Album:
    "Pictures of n people, made in chunks that are kept."
    starts = range(first, first + n, CHUNK)
    paths = Parallel(n_jobs=jobs)(delayed(chunk)(folder, s, min(CHUNK, first + n - s)) for s in starts)
    parts = [np.load(path) for path in paths]
    return Album(*(np.concatenate([part[f.name] for part in parts]) for f in fields(Album)))


def measured(model: torch.nn.Module, strangers: Album) -> dict:
    "How well prompts find what strangers show."
    auc = retrieval_auc(model.eval(), strangers)
    return dict(
        auc={au.id: round(float(a), 4) for au, a in zip(BANK, auc)},
        auc_mean=float(auc.mean()),
        auc_worst=float(auc.min()),
        tone_gap=tone_gap(model, strangers),
    )


def auc_rows(auc: dict[str, float]) -> str:
    "Rows of a table, four action units in each."
    cells = [f"{au} | {a:.3f}" for au, a in auc.items()]
    return "\n".join("| " + " | ".join((cells[i : i + 4] + ["| "] * 3)[:4]) + " |" for i in range(0, len(cells), 4))


def trained(folder: Path, parts: Sequence[Part], device: str, jobs: int) -> torch.nn.Module:
    "The model, trained from random weights part by part."
    people, new_people = album(folder, *TRAIN, jobs), album(folder, *VALIDATION, jobs)
    model = new_model(parts[0].recipe.seed, parts[0].size)
    for part in parts:

        def report(step, loss, model, part=part):
            facts = measured(model, new_people)
            print(
                f"{part.title}, step {step} of {part.recipe.steps}: loss {loss:.3f}, "
                f"AUC mean {facts['auc_mean']:.4f}, worst {facts['auc_worst']:.3f}",
                flush=True,
            )

        model = (enlarged(model.cpu(), part.size) if part.size != model.visual.image_size else model).to(device)
        train_tiny_clip(model, people, part.recipe, folder / f"{part.title}.pt", report, film=part.film)
    return model.cpu()


def backbone(folder: Path, parts: Sequence[Part], device: str, jobs: int) -> dict:
    "Train the model, store its weights, and measure it on new people."
    model = trained(folder, parts, device, jobs)
    target = TARGET / "clip.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as tmp:
        save_file(packed(model), tmp)
    recipes = [dict(part=part.title, size=part.size, **asdict(part.recipe)) for part in parts]
    return dict(parts=recipes, **measured(model, album(folder, *TEST, jobs)))


def kept_videos(path: Path, make: Callable[[], Sequence]) -> tuple[list[LabeledVideo], list[LabeledVideo]]:
    "Two sets of embedded videos, computed once."
    if not path.is_file():
        sets = [
            [(v.frames, v.times, v.found, v.id, v.subject, v.backbone, label) for v, label in videos]
            for videos in make()
        ]
        with atomic_path(path) as tmp:
            torch.save(sets, tmp)
    return tuple(
        [LabeledVideo(VideoFeatures(*facts), label) for *facts, label in videos]
        for videos in torch.load(path, weights_only=True)
    )


def embedded(folder: Path, task: str, clip: Backbone, jobs: int) -> tuple[list[LabeledVideo], list[LabeledVideo]]:
    "Source and validation people of a task, embedded once."
    return kept_videos(folder / f"{task}-{clip.hash}.pt", lambda: source_videos(clip, task, n_jobs=jobs))


def translator(folder: Path, task: str, clip: Backbone, jobs: int) -> None:
    "Train PFT's translator for a head as it is stored, and store it beside the head; nothing else changes."
    model, (train, _) = ClipAU.from_pretrained(TARGET / task, clip), embedded(folder, task, clip, jobs)
    print(f"{task}, {prepare_translator(model, train, **TRANSLATOR)}", flush=True)
    translator_of(model).save(TARGET / task, torch.float16)


def head(folder: Path, task: str, clip: Backbone, jobs: int) -> dict:
    "Train CLIP-AU for a task and store it beside the weights."
    train, val = embedded(folder, task, clip, jobs)
    model = ClipAU(clip, classes=TASKS[task].classes)
    history = fit(model, train, val, epochs=30, lr=1e-3, patience=10, progress=False)
    personal = prepare_personal(model, train, val)
    attach_source(model, train)
    model.save_pretrained(TARGET / task, torch.float16)
    translator(folder, task, clip, jobs)
    best = history.best_epoch - 1
    print(f"{task}: {history}\n{task}, personal: {personal}", flush=True)
    return dict(
        epoch=best + 1,
        val_war=history.val_war[best],
        val_uar=history.val_uar[best],
        n_train=len(train),
        n_val=len(val),
        personal_war=personal.val_war[personal.best_epoch - 1],
    )


CARD = """# {name}

A small CLIP for lessons, tests and first looks at faces. It was trained on **pictures of people in 3-D** who do not exist, and knows the words of FACS, and hardly any other. On real faces its scores follow the muscles to some degree, and far from well
([real faces](https://github.com/clip-autt/clip_autt/blob/main/docs/real_faces.md)). Its output is no medical assessment.

* Image tower: modified ResNet {vision[layers]}, width {vision[width]}, {vision[image_size]} pixels. Text tower: {text[layers]} layers, width {text[width]}, {tokens} of 49,408 tokens stored.
* Training, from random weights: {n_pictures:,} pictures of {n_train:,} people (subjects {train_first:,} to {train_last:,}), batches of {batch}. {course}. A sigmoid loss over pictures and captions, in which a caption fits as far as the face shows it. Built by
  `make assets`; explained in `nbs/faces/12_expressions.ipynb` to `19_pretrain.ipynb`. Subjects from 1,000,000 up were never used.
* The people come from the CC0 data of MakeHuman (`clip_autt/assets/head/README.md`). No picture of a real person was used for training. Real films were used to measure, and earlier to compare variants of the cameras and of the loss.
* Stored in half precision. License: that of the package.

## Measured

On {n_test:,} pictures of {n_strangers:,} people not used before (subjects {test_first:,} to {test_last:,}): the area under the ROC curve with which an action unit's prompt finds the pictures that show it.

| | |
|---|---|
| mean over {n_aus} action units | {auc_mean:.3f} |
| worst | {auc_worst:.3f} ({worst}) |
| lightest minus darkest third of skin tones | {tone_gap:+.3f} |
| emotions named without training (seven classes, {n_emotional} people) | {zero_shot:.3f}, chance {chance:.3f} |

A single frame cannot tell AU45 (blink) from AU43 (eyes closed): the two are scored by the same pictures. Pictures in which an action unit can be confused with another one that is shown, or is fainter than
.4, are left out for it.

| AU | AUC | AU | AUC | AU | AUC | AU | AUC |
|---|---|---|---|---|---|---|---|
{table}

## Heads

CLIP-AU, trained on 40 people and validated on 10 others, 20 clips each (subjects 20,000 to 20,039 and 21,000 to 21,009). WAR on the validation people, by which the epoch was chosen:

| task | epoch | WAR | personal head, WAR |
|---|---|---|---|
{heads}

The personal head is trained on embeddings relative to each person's baseline, with an anchor that keeps the meaning of its action-unit scores (`nbs/personal/03_method.ipynb`). Its WAR is measured with baselines from random
handfuls of a person's videos. Beside the heads lie statistics of the source people (`source.safetensors`): means, variances, and for each person and class up to five typical embeddings; people are numbered, not named. A translator for PFT lies there, too (`translator.safetensors`); it learned from the same people, and is used only by the method `pft` (`nbs/methods/17_pft.ipynb`).

## Limits

The nostrils (AU38, AU39), the clenched jaw (AU31) and the thrust jaw (AU29) are hard to see from the front at {vision[image_size]} pixels. Hair casts no shadow, and expressions follow tables, not people. Skin tones are spread evenly; ages from
eighteen up. The table above is about rendered people: on real ones the scores are much less certain, and for some action units they say nothing.
"""


def card(facts: dict, clip: Backbone) -> str:
    "The model card."
    heads = "\n".join(
        f"| {task} | {h['epoch']} | {h['val_war']:.3f} | {h['personal_war']:.3f} |"
        for task, h in facts["heads"].items()
    )
    course = "; ".join(
        f"{part['steps']:,} steps of {part['size']} pixels, {how}"
        for part, how in zip(facts["parts"], ("plain pictures", "pictures as cameras see them", "the same, larger"))
    )
    return CARD.format(
        **facts | dict(table=auc_rows(facts["auc"]), heads=heads),
        name=NAME,
        course=course,
        batch=facts["parts"][0]["batch"],
        vision=clip.config["vision_cfg"],
        text=clip.config["text_cfg"],
        tokens=len(clip.known_tokens),
        n_aus=len(facts["auc"]),
        worst=min(facts["auc"], key=facts["auc"].get),
        n_pictures=4 * TRAIN[1],
        n_train=TRAIN[1],
        train_first=TRAIN[0],
        train_last=sum(TRAIN) - 1,
        n_test=4 * TEST[1],
        n_strangers=TEST[1],
        test_first=TEST[0],
        test_last=sum(TEST) - 1,
        n_emotional=len(EMOTIONAL),
    )


PACKAGED = (  # task, first person, people and clips of each: of `clip-autt demo`, lesson 13, 15 with 16, and 12
    ("pain", 0, 10, 20),
    ("pain", 31_000, 5, 20),
    ("stress", 0, 4, 12),
    ("ambivalence", 0, 3, 12),
)


def strangers(jobs: int) -> None:
    "People whom the demo and some lessons need at once, embedded, in half the digits."
    folder, backbone = assets() / "strangers", load_backbone(NAME)
    shutil.rmtree(folder, ignore_errors=True)
    for task, first, people, clips in PACKAGED:
        kept_target_videos(backbone, task, first, people, folder=folder, n=clips, n_jobs=jobs)
    for path in folder.rglob("*.safetensors"):
        with safe_open(path, "pt") as f:
            facts, tensors = f.metadata(), {name: f.get_tensor(name) for name in f.keys()}
        with atomic_path(path) as tmp:  # never into the file that the tensors may still be mapped from
            save_file(tensors | {"frames": tensors["frames"].half()}, tmp, facts)


def listed() -> None:
    "Let everybody read the files, and list their hashes."
    for path in assets().rglob("*.safetensors"):
        path.chmod(0o644)  # safetensors writes files that only their owner can read
    write_hashes(assets())


def main() -> None:
    import build_readout  # which takes the albums from here

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "assets", help="where all is kept")
    parser.add_argument("--steps", type=int, nargs=len(PARTS), default=[part.recipe.steps for part in PARTS])
    parser.add_argument("--jobs", type=int, default=-1, help="processes that photograph; -1 for one per core")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--strangers", action="store_true", help="only the people that are packaged; needed when nbs/faces changes"
    )
    parser.add_argument("--translators", action="store_true", help="only those of the stored heads; no head is trained")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.strangers:
        strangers(args.jobs)
        return listed()
    if args.translators:
        for task in TASKS:
            translator(args.folder, task, load_backbone(NAME), args.jobs)
        return listed()
    parts = [part._replace(recipe=replace(part.recipe, steps=n)) for part, n in zip(PARTS, args.steps)]
    facts = backbone(args.folder, parts, args.device, args.jobs)
    write_hashes(assets())
    clip = load_backbone(NAME)
    facts["zero_shot"], facts["chance"] = zero_shot_emotions(clip, EMOTIONAL)
    facts["heads"] = {task: head(args.folder, task, clip, args.jobs) for task in TASKS}
    build_readout.build(args.folder, args.jobs)
    strangers(args.jobs)
    (TARGET / "metrics.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (TARGET / "README.md").write_text(card(facts, clip), encoding="utf-8")
    listed()
    size = sum(p.stat().st_size for p in assets().rglob("*") if p.is_file())
    print(
        f"AUC mean {facts['auc_mean']:.3f}, worst {facts['auc_worst']:.3f}, tone gap {facts['tone_gap']:+.3f}; "
        f"{size / 1e6:.1f} MB in the package"
    )


if __name__ == "__main__":
    main()
