"""Write docs/action_units.md: which action units of `clip-autt aus` to trust, on rendered and on real people.

python tools/action_units_page.py ../shared/data/video build/real/pyfame    # as tools/real_faces.py, which see
"""

import argparse
from pathlib import Path

import numpy as np
from face_reference import AUS, BLENDSHAPES, by_blendshapes, geometry, tracked
from pages import ROOT, rows, write_page
from real_faces import COVERED, MOVED, by_person, films, missing, over_people, shifted, who, within
from real_faces import Film as FilmFacts

from clip_autt.au import AUBank
from clip_autt.data.readout import READABLE, load_readout, read_aus, readable
from clip_autt.features import FPS
from clip_autt.video.io import read_video


def measured(paths: list[Path], tracker: Path, folder: Path) -> dict:
    "Agreement of intensities as users get them with blendshapes and geometry, within each person."
    known, scores = [], []
    for path in paths:
        clip = read_video(path, fps=FPS)
        points, shapes = tracked(path, clip.frames, tracker, folder)
        table = read_aus(clip)
        start, stop = COVERED.get(path.stem, (np.inf, np.inf))
        seen = table.detected & np.isfinite(shapes[:, 0]) & ((clip.times < start) | (clip.times > stop))
        if seen.sum() < 3:
            continue
        reference = {"blendshapes": by_blendshapes(shapes), "geometry": geometry(points)}
        known.append(FilmFacts(path.stem, *who(path), None, reference, seen))
        columns = [table.codes.index(int(au[2:])) if int(au[2:]) in table.codes else None for au in AUS]
        nothing = np.full(len(table), np.nan)
        scores.append(np.column_stack([nothing if i is None else table.intensity[:, i] for i in columns]))
    mine = by_person(known, scores)
    shapes, landmarks = (by_person(known, [f.reference[k] for f in known]) for k in ("blendshapes", "geometry"))
    spread = np.stack([np.ptp(np.quantile(x, (0.05, 0.95), axis=0), axis=0) for x in shapes.values()])
    return dict(
        mean=over_people(within(mine, shapes)),
        geometry=over_people(within(mine, landmarks)),
        chance=np.quantile(shifted(mine, shapes), 0.95, axis=0),
        moved=(spread >= MOVED).sum(0),
        people=len(mine),
        frames=sum(map(len, mine.values())),
    )


def verdict(real: float | None, chance: float | None, auc: float) -> str:
    "One word for a reader."
    if real is None or not np.isfinite(real):
        return "on rendered faces" if auc >= 0.9 else "doubtful"
    return "yes" if real >= 0.5 and real > chance else "with care" if real > chance else "no"


def number(x: float, form: str = "+.2f") -> str:
    return f"{x:{form}}" if x is not None and np.isfinite(x) else ""


def lines_of(real: dict | None) -> list[tuple]:
    "One row for each action unit of a table."
    readout, names = load_readout(), {au.id: au.name for au in AUBank.default()}
    lines = []
    for i in readable(readout):
        au = readout.ids[i]
        k = AUS.index(au) if real and au in AUS else None
        on = (lambda key, k=k: None if k is None else real[key][k]) if real else (lambda key: None)
        cells = number(on("mean")), number(on("geometry")), number(on("chance"))
        word = verdict(on("mean"), on("chance"), readout.auc[i])
        lines.append((au, names[au], number(readout.auc[i], ".2f"), number(readout.error[i], ".1f"), *cells, word))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="films, and face_landmarker.task in one of them")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "real_faces", help="where numbers are kept")
    args = parser.parse_args()
    paths, tracker = films(args.folders), next((p for x in args.folders for p in sorted(x.rglob("*.task"))), None)
    if reason := missing(paths, tracker, args.build):
        print(f"action units: skipped, {reason}")
        return
    args.build.mkdir(parents=True, exist_ok=True)
    real, readout = measured(paths, tracker, args.build), load_readout()
    left_out = [au for i, au in enumerate(readout.ids) if i not in readable(readout) and au != "AU45"]
    both = [au for au in AUS if np.isfinite(real["mean"][AUS.index(au)])]
    write_page(
        ROOT / "docs" / "action_units.md",
        "action_units.md",
        "make action-units",
        lines=rows(lines_of(real)),
        mean=number(float(np.nanmean(real["mean"]))),
        geometry=number(float(np.nanmean(real["geometry"]))),
        n_both=len(both),
        n_people=real["people"],
        n_frames=real["frames"],
        left_out=", ".join(left_out),
        readable=READABLE,
        shapes=", ".join(f"{au} {BLENDSHAPES[au][0]}" for au in AUS),
    )


if __name__ == "__main__":
    main()
