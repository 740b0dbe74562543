"""A study of two million rows: seconds and memory. Run by hand: python tests/bench/bench_tables.py [rows]"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from clip_autt.data.au_tables import OPENFACE_AUS
from clip_autt.series.studies import clip_series, read_study_table

AUS = [code for code in OPENFACE_AUS if code != 28]


def write(path, rows, per_clip=500, per_person=20):
    "One big table in OpenFace's columns, made of a million different lines."
    rng, block = np.random.default_rng(0), 50_000
    names = ["subject", "clip", "label", "frame", "timestamp", "confidence", "success", *(f"AU{c:02d}_r" for c in AUS)]
    with path.open("w") as file:
        file.write(",".join(names) + "\n")
        for start in range(0, rows, block):
            x = rng.gamma(0.5, 0.6, (min(block, rows - start), len(AUS))).clip(0, 5)
            for i, row in enumerate(x, start):
                clip, frame = divmod(i, per_clip)
                file.write(
                    f"s{clip // per_person},c{clip},{clip % 2},{frame + 1},{frame / 25:.2f},0.98,1,"
                    + ",".join(f"{v:.2f}" for v in row)
                    + "\n"
                )


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.csv"
        write(path, rows)
        print(f"{rows:,} rows, {path.stat().st_size / 1e6:.0f} MB; {peak():.0f} MB of memory before")
        start = time.perf_counter()
        study = read_study_table(path)
        print(f"read: {time.perf_counter() - start:.1f} s, {peak():.0f} MB")
        series = [clip_series(study, name) for name in study.clips]
        print(f"and {len(series)} series: {time.perf_counter() - start:.1f} s, {peak():.0f} MB")
