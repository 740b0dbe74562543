"""Write docs/detector.md: whose face is found, by tone of the skin, tilt, turn and size, beside the former cascade.

    python tools/detector_page.py [../shared/data/video]    # with real films where they are at hand

Takes some minutes.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import skimage.data
import torch
from numpy.random import default_rng
from pages import ROOT, percent, rows, write_page
from PIL import Image
from skimage.feature import Cascade

from clip_autt.faces.people import Subject, render, sample_shot
from clip_autt.faces.tasks import TARGET_DOMAIN
from clip_autt.utils.assets import assets
from clip_autt.video.detector import detect_faces, overlap
from clip_autt.video.io import read_video

N_PEOPLE, FIRST, SIDE = 240, 40_000, 256
POSES = {  # yaw, pitch and roll in degrees
    "upright, to the camera": (0, 0, 0),
    "tilted by 25°": (0, 0, 25),
    "tilted by 45°": (0, 0, 45),
    "turned by 45°": (45, 0, 0),
    "turned by 75°, a profile": (75, 0, 0),
    "chin lifted by 25°": (0, 25, 0),
}
THIRDS = "light", "middle", "dark"
HEIGHTS = 100, 60, 40, 30, 20, 15
Detector = Callable[[np.ndarray], bool]


@lru_cache(maxsize=1)
def cascade() -> Cascade:
    return Cascade(skimage.data.lbp_frontal_face_cascade_filename())


def by_cascade(image: np.ndarray) -> bool:
    "Whether six windows of the cascade agree, as the library asked until its second edition."
    small = Image.fromarray(image)
    small.thumbnail((320, 320))
    side = min(small.size)
    found = cascade().detect_multi_scale(
        img=np.asarray(small), scale_factor=1.1, step_ratio=1, min_size=(24, 24), max_size=(side, side),
        min_neighbor_number=1, intersection_score_threshold=2.0,
    )  # fmt: skip
    windows = np.array([(w["c"], w["r"], w["width"], w["height"]) for w in found], float).reshape(-1, 4)
    return bool((overlap(windows, windows) > 0.4).sum(1).max(initial=0) >= 6)


def by_network(image: np.ndarray) -> bool:
    return len(detect_faces(image).scores) > 0


DETECTORS: dict[str, Detector] = {"cascade": by_cascade, "YuNet": by_network}


def pictures(seed: int) -> np.ndarray:
    "Somebody in each pose, in the light and with the camera of a stranger; the face is a third of the picture high."
    g, person = default_rng([seed, 40]), Subject.sample(seed, TARGET_DOMAIN)
    shot = sample_shot(g, TARGET_DOMAIN)
    shot = replace(shot, hand=None, lens=replace(shot.lens, zoom=0.45 * shot.lens.zoom, roll=0.0))
    aus = np.clip(g.normal(0.1, 0.3, (1, 47)), 0, 1) * (g.random((1, 47)) < 0.1)
    heads = np.array([*POSES.values()], float)
    return render(np.repeat(aus, len(heads), 0), person, shot, g, SIDE, heads)


def small(image: np.ndarray, height: int) -> np.ndarray:
    "The picture reduced so that the face is about so many pixels high, in a grey one of the old size."
    side = round(height / 0.42)
    frame = np.full_like(image, 100)
    at = (SIDE - side) // 2
    if at < 0:
        return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
    frame[at : at + side, at : at + side] = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
    return frame


def shares(found: np.ndarray, third: np.ndarray) -> list[str]:
    "Percent found in each third of the tones, and in all."
    return [*(percent(found[third == k].mean()) for k in range(3)), percent(found.mean())]


def speed(frame: np.ndarray) -> str:
    "How many times as long as the network the cascade takes for a frame of 720p, on one core."
    torch.set_num_threads(1)
    times = {}
    for name, detect in DETECTORS.items():
        detect(frame)
        start = time.perf_counter()
        for _ in range(5):
            detect(frame)
        times[name] = (time.perf_counter() - start) / 5
    return f"{times['cascade'] / times['YuNet']:.0f}"


def film_rows(folder: Path) -> list[tuple]:
    "Share of the frames of each real film in which a detector sees a face."
    lines = []
    for path in sorted(p for p in folder.glob("*") if p.suffix in (".mp4", ".mov")):
        frames = read_video(path, fps=4).frames
        lines.append((path.name, len(frames), *(percent(np.mean([*map(d, frames)])) for d in DETECTORS.values())))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", type=Path, nargs="?")
    args = parser.parse_args()
    people = range(FIRST, FIRST + N_PEOPLE)
    tones = np.array([Subject.sample(s).tone for s in people])
    third = np.digitize(tones, [1 / 3, 2 / 3])
    seen = np.stack([pictures(s) for s in people])
    poses = [
        (pose, name, *shares(np.array([detect(x) for x in seen[:, k]]), third))
        for k, pose in enumerate(POSES)
        for name, detect in DETECTORS.items()
    ]
    upright = seen[:60, 0]
    sizes = [(h, *(percent(np.mean([d(small(x, h)) for x in upright])) for d in DETECTORS.values())) for h in HEIGHTS]
    films = film_rows(args.films) if args.films and args.films.is_dir() else []
    write_page(
        ROOT / "docs" / "detector.md",
        "detector.md",
        "make detector",
        n_people=N_PEOPLE,
        first=FIRST,
        counts=", ".join(f"{n} {name}" for n, name in zip(np.bincount(third, minlength=3), THIRDS)),
        poses=rows(poses),
        sizes=rows(sizes),
        films=rows(films),
        ratio=speed(np.asarray(Image.fromarray(seen[0, 0]).resize((1280, 720)))),
        size=f"{(assets() / 'face-detector' / 'model.safetensors').stat().st_size / 1000:.0f}",
    )


if __name__ == "__main__":
    main()
