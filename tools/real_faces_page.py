"""Write docs/real_faces.md: how far the scores of both small models follow real faces.

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


MODELS = {"facs-tiny": None, "facs-people": ROOT / "weights" / "facs-people" / "clip.safetensors"}


def signed(x: float) -> str:
    "A correlation, or nothing where it is unknown."
    return f"{x:+.2f}" if np.isfinite(x) else ""


def facts_of(found: dict[str, dict]) -> dict:
    "What the template asks for, from the measurements of each model."
    first = next(iter(found.values()))
    means = [over_people(facts["blendshapes"]) for facts in found.values()]
    known, moves = over_people(first["references"]), first["spread"] >= MOVED
    columns = zip(AUS, moves.sum(0), *means, first["chance"], known, strict=True)
    lines = [(au, BLENDSHAPES[au][0], n, *map(signed, numbers)) for au, n, *numbers in columns]
    lines.append(
        ("**mean**", "", "", *(f"**{m.mean():+.2f}**" for m in means), signed(first["chance of the mean"]), "")
    )
    people = [
        (f"person {k + 1}", *(signed(np.nanmean(facts["blendshapes"][k])) for facts in found.values()))
        for k in range(len(first["people"]))
    ]
    return dict(
        lines=rows(lines),
        people=rows(people),
        moving=[
            signed(facts["blendshapes"][moves & np.isfinite(facts["blendshapes"])].mean()) for facts in found.values()
        ],
        n_moving=moves.sum(),
        n_pairs=moves.size,
        geometry=[signed(np.nanmean(over_people(facts["geometry"]))) for facts in found.values()],
        n_people=len(first["people"]),
        n_frames=sum(first["people"].values()),
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
    found = {name: measure(load_backbone(name, path), paths, tracker, args.build) for name, path in MODELS.items()}
    write_page(args.page, "real_faces.md", **facts_of(found))


if __name__ == "__main__":
    main()
