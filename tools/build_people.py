# ruff: noqa: E501  (templates of pages)
"""Train facs-people, a CLIP that has seen people in 3-D, into weights/: the second half of `make assets`. What is finished is kept in build/assets, so an interrupted run goes on where it stopped.

python tools/build_people.py --ablate    # small runs instead: what each choice is worth on rendered strangers
"""

import argparse
import json
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import torch
from build_assets import ROOT, auc_rows, measured
from joblib import Parallel, delayed
from pages import kept, table
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from clip_autt.au import EMOTIONS, fill_template, multi_hot
from clip_autt.backbone import Backbone, load_backbone
from clip_autt.faces.album import Album, photograph_people, shown_faces, targets
from clip_autt.faces.anatomy import BANK
from clip_autt.faces.identity import Identity
from clip_autt.faces.lens import Shot
from clip_autt.faces.people_clip import PeopleRecipe, as_filmed, people_model, train_on_people
from clip_autt.faces.photo import photograph
from clip_autt.faces.pretrain import OPEN, check_seeds, packed, pixels
from clip_autt.utils.files import atomic_path

TRAIN, VALIDATION, TEST = (100_000, 20_000), (900_000, 1_000), (910_000, 1_000)  # first person and how many
CHUNK = 1_000  # people
WEIGHTS = ROOT / "weights" / "facs-people"
EMOTIONAL = range(920_000, 920_100)
check_seeds(EMOTIONAL.start, len(EMOTIONAL))


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


def train(folder: Path, recipe: PeopleRecipe, device: str, jobs: int) -> dict:
    "Train facs-people, write its weights, and measure it on new people."
    new_people = shown_faces(album(folder, *VALIDATION, jobs))

    def report(step, loss, model):
        facts = measured(model, new_people)
        print(
            f"step {step} of {recipe.steps}: loss {loss:.3f}, AUC mean {facts['auc_mean']:.4f}, worst {facts['auc_worst']:.3f}",
            flush=True,
        )

    pictures = album(folder, *TRAIN, jobs)
    model = train_on_people(people_model().to(device), pictures, recipe, folder / "people.pt", report).to("cpu")
    target = WEIGHTS / "clip.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as tmp:
        save_file(packed(model), tmp)
    target.chmod(0o644)
    return dict(recipe=asdict(recipe), **measured(model, shown_faces(album(folder, *TEST, jobs))))


def emotions_found(backbone: Backbone, strength: float = 0.8) -> float:
    "How often the sentences of an emotion's action units are nearest to the face that shows it, of people not seen before."
    recipes = torch.tensor([multi_hot(BANK, codes) for codes in EMOTIONS.values()]).float()
    unit = torch.nn.functional.normalize
    prompts = unit(backbone.encode_text(fill_template("a photo of a person with {}.", BANK.prompts)), dim=-1)
    names = unit(recipes @ prompts, dim=-1)
    shown = [
        photograph(Identity.sample(n), strength * row, None, backbone.image_size, Shot.sample(n))[0]
        for n in EMOTIONAL
        for row in recipes.numpy()
    ]
    scores = unit(backbone.encode_frames(np.stack(shown), 128), dim=-1) @ (names - names.mean(0)).T
    return float((scores.argmax(1) == torch.arange(len(shown)) % len(names)).float().mean())


def yes_or_no(t: np.ndarray) -> np.ndarray:
    "Degrees without what lies between."
    return np.where(t >= 0.5, 1, np.where(t > 0, OPEN, t)).astype(np.float32)


def clean(pictures: np.ndarray, g: np.random.Generator, size: int) -> Tensor:
    "Pictures as they are, shifted by up to two pixels."
    return torch.nn.functional.interpolate(
        pixels(np.roll(pictures, tuple(g.integers(-2, 3, 2)), (1, 2))), (size, size), mode="bilinear", antialias=True
    )


ABLATIONS = {  # size, what targets become, what cameras do
    "64 pixels": (64, lambda t: t, as_filmed),
    "yes or no in place of degrees": (64, yes_or_no, as_filmed),
    "no cameras": (64, lambda t: t, clean),
    "96 pixels": (96, lambda t: t, as_filmed),
}


def small_run(folder: Path, name: str, seed: int, steps: int, people: Album) -> Path:
    "A short run of one variant; its weights are kept, for `tools/real_faces.py --weights`."
    size, change, film = ABLATIONS[name]
    path = folder / f"ablation-{size}-{change(np.float32([0.3]))[0]:.1f}-{film.__name__}-{seed}-{steps}.safetensors"
    if not path.is_file():
        recipe = PeopleRecipe(steps=steps, seed=seed)
        model = train_on_people(people_model(size), people, recipe, t=change(targets(people)), film=film)
        with atomic_path(path) as tmp:
            save_file(packed(model), tmp)
    return path


CARD = """# facs-people

A small CLIP that was trained on **photographs of people in 3-D** who do not exist, and knows the words of FACS, and hardly any other. On real faces its scores follow the muscles better than those of `facs-tiny`, and far from well
([real faces](https://github.com/clip-autt/clip_autt/blob/main/docs/real_faces.md)). Its output is no medical assessment.

* The architecture of `facs-tiny` for pictures of {size} pixels. It began with the weights of `facs-tiny`, which was trained on drawn faces, and was trained on for {recipe[steps]:,} steps of {recipe[batch]} pictures.
* Training: {n_pictures:,} pictures of {n_train:,} people (subjects {train_first:,} to {train_last:,}), with random crops, colours, blur, noise and covered parts; a sigmoid loss in which a caption fits as far as the face shows it. Built by `make assets`;
  explained in `nbs/faces/19_expressions.ipynb` to `21_people_clip.ipynb`. Subjects from 1,000,000 up were never used.
* The people come from the CC0 data of MakeHuman (`clip_autt/assets/head/README.md`). No picture of a real person was used for training. Real films were used to compare variants, and to measure; which ones is said on the page about real faces.
* Stored in half precision. License: that of the package. It is not in the wheel: `load_backbone('facs-people', 'weights/facs-people/clip.safetensors')`.

## Measured

On {n_test:,} pictures of {n_strangers:,} people not used before (subjects {test_first:,} to {test_last:,}): the area under the ROC curve with which an action unit's prompt finds the pictures that show it.

| | |
|---|---|
| mean over {n_aus} action units | {auc_mean:.3f} |
| worst | {auc_worst:.3f} ({worst}) |
| lightest minus darkest third of skin tones | {tone_gap:+.3f} |
| emotions named without training (seven classes, {n_emotional} people) | {zero_shot:.3f}, chance {chance:.3f} |

A single frame cannot tell AU45 (blink) from AU43 (eyes closed): the two are scored by the same pictures.

| AU | AUC | AU | AUC | AU | AUC | AU | AUC |
|---|---|---|---|---|---|---|---|
{table}

## Limits

There are no heads for tasks yet: the three tasks of the package and their heads use `facs-tiny`. The nostrils (AU38, AU39), the clenched jaw (AU31) and the thrust jaw (AU29) are hard to see from the front at {size} pixels. Hair casts no shadow, and expressions
follow tables, not people.
"""


def card(facts: dict, size: int) -> str:
    "The model card."
    return CARD.format(
        **facts,
        size=size,
        table=auc_rows(facts["auc"]),
        worst=min(facts["auc"], key=facts["auc"].get),
        n_aus=len(facts["auc"]),
        n_pictures=4 * TRAIN[1],
        n_train=TRAIN[1],
        train_first=TRAIN[0],
        train_last=sum(TRAIN) - 1,
        n_test=4 * TEST[1],
        n_strangers=TEST[1],
        test_first=TEST[0],
        test_last=sum(TEST) - 1,
        n_emotional=len(EMOTIONAL),
        chance=1 / len(EMOTIONS),
    )


def of_size(people: Album, size: int) -> Album:
    "The album with smaller pictures."
    pictures = [np.asarray(Image.fromarray(x).resize((size, size))) for x in people.pictures]
    return replace(people, pictures=np.stack(pictures))


def ablate(folder: Path, seeds: range, steps: int, jobs: int) -> str:
    "A table of small runs."
    people, strangers = album(folder, *TRAIN, jobs), album(folder, *VALIDATION, jobs)
    lines = []
    for name, (size, *_) in ABLATIONS.items():
        found, faces = [], shown_faces(of_size(strangers, size))
        for seed in seeds:
            path = small_run(folder, name, seed, steps, people)
            model = people_model(size)
            model.load_state_dict({k: v for k, v in load_file(path).items() if k != "token_rows"})
            facts = kept(path.with_suffix(".json"), lambda model=model, faces=faces: measured(model, faces))
            found.append(facts["auc_mean"])
        lines.append((name, *(f"{x:.3f}" for x in found)))
    return table(("variant", *(f"AUC, seed {seed}" for seed in seeds)), lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "assets", help="where all is kept")
    parser.add_argument("--steps", type=int, default=PeopleRecipe.steps)
    parser.add_argument("--jobs", type=int, default=-1, help="processes that photograph; -1 for one per core")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--ablate", action="store_true", help="three small runs of each variant instead")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.ablate:
        print(ablate(args.folder, range(3), min(args.steps, 750), args.jobs))
        return
    facts = train(args.folder, PeopleRecipe(steps=args.steps), args.device, args.jobs)
    clip = load_backbone("facs-people", WEIGHTS / "clip.safetensors")
    facts["zero_shot"] = emotions_found(clip)
    (WEIGHTS / "metrics.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (WEIGHTS / "README.md").write_text(card(facts, clip.image_size), encoding="utf-8")
    print(f"AUC mean {facts['auc_mean']:.3f}, worst {facts['auc_worst']:.3f}, tone gap {facts['tone_gap']:+.3f}")


if __name__ == "__main__":
    main()
