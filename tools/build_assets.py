# ruff: noqa: E501  (templates of pages)
"""Build the files of the package: `make assets`. What is finished is kept in build/assets, so an interrupted run goes on where it stopped."""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from clip_autt.faces.anatomy import BANK
from clip_autt.backbone import Backbone, load_backbone
from clip_autt.utils.assets import assets, write_hashes
from clip_autt.features import LabeledVideo, VideoFeatures
from clip_autt.utils.files import atomic_path
from clip_autt.model import ClipAU
from clip_autt.methods.source_statistics import attach_source
from clip_autt.personal.training import prepare_personal
from clip_autt.faces.pretrain import (
    Faces,
    Recipe,
    check_seeds,
    draw_faces,
    packed,
    retrieval_auc,
    tone_gap,
    train_tiny_clip,
)
from clip_autt.faces.tasks import SOURCE_SUBJECTS, TASKS, VALIDATION_SUBJECTS
from clip_autt.train import fit
from clip_autt.faces.videos import source_videos, zero_shot_emotions

ROOT = Path(__file__).resolve().parents[1]
TRAIN, VALIDATION, TEST = (100_000, 60_000), (900_000, 4_000), (910_000, 4_000)  # first subject and how many
CHUNK = 4_000
EMOTIONAL = range(920_000, 920_100)
for people in (SOURCE_SUBJECTS, VALIDATION_SUBJECTS, EMOTIONAL):
    check_seeds(people.start, len(people))


def faces(folder: Path, first: int, n: int, jobs: int) -> Faces:
    "n faces, drawn in chunks that are kept."
    check_seeds(first, n)
    chunks = []
    for start in range(first, first + n, CHUNK):
        path = folder / f"faces-{start}.npz"
        if not path.is_file():
            drawn = draw_faces(start, min(CHUNK, first + n - start), jobs)
            with atomic_path(path) as tmp:
                np.savez(tmp, pictures=drawn.pictures, seen=drawn.seen, tones=drawn.tones)
            print(f"drew {start} to {start + len(drawn) - 1}", flush=True)
        with np.load(path) as f:
            chunks.append([f[name] for name in ("pictures", "seen", "tones")])
    return Faces(*(np.concatenate(part) for part in zip(*chunks)))


def measured(model: torch.nn.Module, strangers: Faces) -> dict:
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


def backbone(folder: Path, device: str, jobs: int, recipe: Recipe) -> dict:
    "Train facs-tiny, put its weights into the package, and measure it on new people."
    new_people = faces(folder, *VALIDATION, jobs)

    def report(epoch, loss, model):
        model.eval()
        auc = retrieval_auc(model, new_people)
        print(
            f"epoch {epoch + 1} of {recipe.epochs}: loss {loss:.3f}, AUC mean {auc.mean():.4f}, worst {auc.min():.3f}",
            flush=True,
        )

    model = train_tiny_clip(faces(folder, *TRAIN, jobs), recipe, folder / "clip.pt", device, report).to("cpu")
    target = assets() / "facs-tiny" / "clip.safetensors"
    with atomic_path(target) as tmp:
        save_file(packed(model), tmp)
    return dict(recipe=vars(recipe), **measured(model, faces(folder, *TEST, jobs)))


def kept(path: Path, make) -> tuple[list[LabeledVideo], list[LabeledVideo]]:
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


def head(folder: Path, task: str, clip: Backbone, jobs: int) -> dict:
    "Train CLIP-AU for a task and put it into the package."
    train, val = kept(folder / f"{task}-{clip.hash}.pt", lambda: source_videos(clip, task, n_jobs=jobs))
    model = ClipAU(clip, classes=TASKS[task].classes)
    history = fit(model, train, val, epochs=30, lr=1e-3, patience=10, progress=False)
    personal = prepare_personal(model, train, val)
    attach_source(model, train)
    model.save_pretrained(assets() / "facs-tiny" / task, torch.float16)
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


CARD = """# facs-tiny

A small CLIP for lessons and tests. It was trained on **rendered faces only** and knows the words of FACS, and hardly any other. It is not for use on real faces,
and its output is no medical assessment.

* Image tower: modified ResNet {vision[layers]}, width {vision[width]}, {vision[image_size]} pixels. Text tower: {text[layers]} layers, width {text[width]}, {tokens} of 49,408 tokens stored.
* Training: {n_train:,} drawn faces of as many people (subjects {train_first:,} to {train_last:,}), {recipe[epochs]} epochs, batch {recipe[batch]}, sigmoid loss over pictures and captions; several captions fit a picture
  and several pictures a caption. Built by `make assets`; explained in `nbs/faces/08_pretrain.ipynb`. Subjects from 1,000,000 up were never used.
* Stored in half precision.

## Measured

On {n_test:,} faces of people not used before (subjects {test_first:,} to {test_last:,}): the area under the ROC curve with which an action unit's prompt finds the pictures that show it.

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
handfuls of a person's videos. Beside the heads lie statistics of the source people (`source.safetensors`): means, variances, and for each person and class up to five typical embeddings; people are numbered, not named.

## Limits

Faces are drawn by a program with one style; folds and bulges are simple strokes. Nothing here says how CLIP or CLIP-AU do on real faces. Skin tones are spread evenly, but age, hair and
glasses are caricatures. The hashes of all files are in `hashes.json`.
"""


def card(facts: dict, tokens: int) -> str:
    "The model card."
    heads = "\n".join(
        f"| {task} | {h['epoch']} | {h['val_war']:.3f} | {h['personal_war']:.3f} |"
        for task, h in facts["heads"].items()
    )
    config = load_backbone("facs-tiny").config
    return CARD.format(
        **facts | dict(table=auc_rows(facts["auc"]), heads=heads),
        vision=config["vision_cfg"],
        text=config["text_cfg"],
        tokens=tokens,
        n_aus=len(facts["auc"]),
        worst=min(facts["auc"], key=facts["auc"].get),
        n_train=TRAIN[1],
        train_first=TRAIN[0],
        train_last=sum(TRAIN) - 1,
        n_test=TEST[1],
        test_first=TEST[0],
        test_last=sum(TEST) - 1,
        n_emotional=len(EMOTIONAL),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "build" / "assets", help="where intermediate results are kept"
    )
    parser.add_argument("--epochs", type=int, default=Recipe.epochs)
    parser.add_argument("--jobs", type=int, default=-1, help="processes that draw; -1 for one per core")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    facts = backbone(args.folder, args.device, args.jobs, Recipe(epochs=args.epochs))
    write_hashes(assets())
    clip = load_backbone("facs-tiny")
    facts["zero_shot"], facts["chance"] = zero_shot_emotions(clip, EMOTIONAL)
    facts["heads"] = {task: head(args.folder, task, clip, args.jobs) for task in TASKS}
    folder = assets() / "facs-tiny"
    (folder / "metrics.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card(facts, len(clip.known_tokens)), encoding="utf-8")
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)  # safetensors writes files that only their owner can read
    write_hashes(assets())
    size = sum(p.stat().st_size for p in assets().rglob("*") if p.is_file())
    print(
        f"AUC mean {facts['auc_mean']:.3f}, worst {facts['auc_worst']:.3f}, tone gap {facts['tone_gap']:+.3f}; {size / 1e6:.1f} MB in the package",
        flush=True,
    )


if __name__ == "__main__":
    main()
