"""Turn pytest-benchmark's JSON into docs/benchmarks.md: one row a comparison, fast against plain in the same run."""

import json
import sys
from itertools import groupby
from pathlib import Path

from pages import ROOT, TEMPLATES, row, write_page

AIMS = {
    "text forward and backward, 47 prompts, context at the front": 5,
    "text forward and backward, 47 prompts, context at the end": 10,
    "one more adaptation step of a 20-frame video, context at the front": 15,
    "one more adaptation step of a 20-frame video, context at the end": 15,
    "embeddings of all windows, T = 4,000 frames, L = 16": 40,
    "first adaptation of a 20-frame video, from pixels, context at the front": 4.5,
    "first adaptation of a 20-frame video, from pixels, context at the end": 6,
    "each further step: search, update, prediction, context at the front": 14,
    "each further step: search, update, prediction, context at the end": 45,
    "40 videos of a subject in one batch, against this library one by one, context at the front": 2,
    "40 videos of a subject in one batch, against this library one by one, context at the end": 2,
    "40 videos of a subject in one batch, against the plain formula one by one, context at the front": 2,
    "a clip of 38 rendered pictures, picture by picture against all at once": 2,
    "a face in each of 25 frames: searched anew against looked for in its square": 2,
    "20 frames through the image encoder, float32 against bfloat16": 1.5,
    "one more adaptation step, float32 against autocast to bfloat16": 1,
    "38 faces encoded by facs-tiny, one by one against in batches": 2,
}


def comparison(group: str, first: dict, seconds: dict[str, float]) -> str:
    "A row: plain and fast, their ratio, what was aimed at, and what the count of multiplications allows."
    ratio = seconds["plain"] / seconds["fast"]
    note = f" ({first['note']})" if first.get("note") else ""
    cells = [f"{group}{note}", f"{seconds['plain'] * 1000:,.0f}", f"{seconds['fast'] * 1000:,.0f}", f"**{ratio:.1f}x**"]
    counts = [first.get(f"{how}_multiplications", 0) for how in ("plain", "fast")]
    limit = counts[0] / counts[1] if all(counts) else None
    if not limit:
        return row(*cells, f"{AIMS[group]}x", "", "", "")
    billions = " / ".join(f"{x / 1e9:,.0f}" for x in counts)
    return row(*cells, f"{AIMS[group]}x", billions, f"{limit:.1f}x", f"{ratio / limit:.0%}")


def main(path: Path) -> None:
    runs = sorted(json.loads(path.read_text())["benchmarks"], key=lambda b: b["group"])
    lines, memory, starts, sliders = [], [], [], []
    for group, found in groupby(runs, key=lambda b: b["group"]):
        members = list(found)
        first = members[0]["extra_info"]
        median = {b["params"]["how"]: b["stats"]["median"] for b in members if "how" in (b["params"] or {})}
        if seconds := median or {how: first[how] for how in ("plain", "fast") if how in first}:
            lines.append(comparison(group, first, seconds))
        elif "start_up" in first:
            aim = f"below {first['aim']} s" if first["aim"] else ""
            starts.append(row(f"`{group}`", f"{members[0]['stats']['median']:.2f}", aim))
        elif "slider" in first:
            sliders.append(row(f"`{first['slider']}`", f"{1000 * members[0]['stats']['median']:,.0f}", "below 1,000"))
        else:
            facts = [b["extra_info"] for b in members]
            for x in facts:
                mb, mib = x["peak_bytes"] / 1e6, x["peak_bytes"] / 2**20
                peak = f"peak {mb:,.0f} MB ({mib:,.0f} MiB; aim: below 2,000 MB)"
                memory.append(f"{group}: {x['frames']:,} frames, {peak}.")
    write_page(
        ROOT / "docs" / "benchmarks.md",
        "benchmarks.md",
        "make bench",
        comparisons="\n".join(lines),
        memory="\n".join(memory),
        starts="\n".join(starts),
        sliders="\n".join(sliders),
        gpu=(TEMPLATES / "gpu.md").read_text(encoding="utf-8").strip(),  # written by tests/bench/gpu.py --keep
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
