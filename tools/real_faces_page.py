"""Write docs/real_faces.md: how far the scores of `facs-tiny` follow real faces, beside those of its first edition.

python tools/real_faces_page.py ../shared/data/video build/real/pyfame    # as tools/real_faces.py, which see
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from face_reference import AUS, BLENDSHAPES
from pages import ROOT, rows, write_page
from real_faces import MOVED, films, measure, missing, over_people

from clip_autt.backbone import load_backbone

FIRST_EDITION = {  # trained on drawings; measured once, on the same films of four people
    "action units": {
        "AU1": 0.29, "AU2": 0.34, "AU4": -0.02, "AU5": 0.55, "AU7": 0.42, "AU9": 0.22, "AU10": 0.27, "AU12": 0.34,
        "AU15": -0.05, "AU16": 0.36, "AU18": 0.27, "AU20": 0.06, "AU24": -0.06, "AU26": 0.52, "AU43": 0.69,
    },
    "mean": 0.28,
    "people": (0.31, 0.34, 0.10, 0.37),
    "moving": 0.32,
    "geometry": 0.27,
}  # fmt: skip


def signed(x: float) -> str:
    "A correlation, or nothing where it is unknown."
    return f"{x:+.2f}" if np.isfinite(x) else ""


def facts_of(facts: dict) -> dict:
    "What the template asks for, from what was measured of the model; each of its numbers stands beside the first's."
    blendshapes, moves = facts["blendshapes"], facts["spread"] >= MOVED
    mean, first, known = over_people(blendshapes), FIRST_EDITION, over_people(facts["references"])
    columns = zip(AUS, moves.sum(0), mean, facts["chance"], known, strict=True)
    lines = [
        (au, BLENDSHAPES[au][0], n, signed(x), signed(first["action units"][au]), signed(chance), signed(agree))
        for au, n, x, chance, agree in columns
    ]
    means = f"**{mean.mean():+.2f}**", f"**{signed(first['mean'])}**"
    lines.append(("**mean**", "", "", *means, signed(facts["chance of the mean"]), ""))
    people = [
        (f"person {k}", signed(np.nanmean(x)), signed(y))
        for k, (x, y) in enumerate(zip(blendshapes, first["people"], strict=True), 1)
    ]
    return dict(
        lines=rows(lines),
        people=rows(people),
        moving=[signed(blendshapes[moves & np.isfinite(blendshapes)].mean()), signed(first["moving"])],
        n_moving=moves.sum(),
        n_pairs=moves.size,
        geometry=[signed(np.nanmean(over_people(facts["geometry"]))), signed(first["geometry"])],
        n_people=len(facts["people"]),
        n_frames=sum(facts["people"].values()),
        n_aus=len(AUS),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="films, and face_landmarker.task in one of them")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "real_faces", help="where numbers are kept")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "real_faces.md")
    args = parser.parse_args(arguments)
    paths, tracker = films(args.folders), next((p for x in args.folders for p in sorted(x.rglob("*.task"))), None)
    if reason := missing(paths, tracker, args.build):
        print(f"real faces: skipped, {reason}")
        return
    args.build.mkdir(parents=True, exist_ok=True)
    facts = measure(load_backbone("facs-tiny"), paths, tracker, args.build)
    write_page(args.page, "real_faces.md", "make real-faces", **facts_of(facts))


if __name__ == "__main__":
    main()
