"""Turn pytest-benchmark's JSON into docs/benchmarks.md: one row a comparison, fast against plain in the same run."""

import json
import sys
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

AIMS = {
    "text forward and backward, 47 prompts, context at the front": 5, "text forward and backward, 47 prompts, context at the end": 10,
    "one more adaptation step of a 20-frame video, context at the front": 15, "one more adaptation step of a 20-frame video, context at the end": 15,
    "embeddings of all windows, T = 4,000 frames, L = 16": 40,
    "first adaptation of a 20-frame video, from pixels, context at the front": 4, "first adaptation of a 20-frame video, from pixels, context at the end": 4,
    "each further step: search, update, prediction, context at the front": 30, "each further step: search, update, prediction, context at the end": 30,
    "40 videos of a subject in one batch, against this library one by one, context at the front": 2,
    "40 videos of a subject in one batch, against this library one by one, context at the end": 2,
    "40 videos of a subject in one batch, against the plain formula one by one, context at the front": 2,
}  # fmt: skip

runs = sorted(json.loads(Path(sys.argv[1]).read_text())["benchmarks"], key=lambda b: b["group"])
lines, memory, starts = [], [], []
for group, members in groupby(runs, key=lambda b: b["group"]):
    members = list(members)
    first, median = members[0]["extra_info"], {b["params"]["how"]: b["stats"]["median"] for b in members if "how" in (b["params"] or {})}
    seconds = median or {how: first[how] for how in ("plain", "fast") if how in first}
    if seconds:
        plain, fast = seconds["plain"], seconds["fast"]
        note = f" ({first['note']})" if first.get("note") else ""
        lines.append(f"| {group}{note} | {plain * 1000:,.0f} | {fast * 1000:,.0f} | **{plain / fast:.1f}x** | {AIMS[group]}x |")
    elif "start_up" in first:
        aim = f"below {first['aim']} s" if first["aim"] else ""
        starts.append(f"| `{group}` | {members[0]['stats']['median']:.2f} | {aim} |")
    else:
        memory += [f"{group}: {b['extra_info']['frames']:,} frames, peak {b['extra_info']['peak_mb']:,} MB (aim: below 2,000 MB)." for b in members]

text = f"""# Benchmarks

Written by `make bench`. Everything is at ViT-B/32 shapes with random weights (they cost what trained ones cost), in float32, on 2 CPU threads, with the default bank of
47 action units; medians of a few rounds. *Plain* is the formula as written down: every frame encoded again, every prompt padded to 77 tokens, every window embedded by itself. *Fast* is
what the library runs. Tests prove that both give the same numbers to float rounding, values and gradients. Versions: torch {version("torch")}, open_clip {version("open_clip_torch")}.

| what | plain, ms | fast, ms | ratio | aim |
|---|---:|---:|---:|---:|
{chr(10).join(lines)}

{chr(10).join(memory)}

| start-up, a process of its own | seconds | aim |
|---|---:|---:|
{chr(10).join(starts)}

## What plain counts

The rows that end in a prediction (*first adaptation*, *each further step*, *40 videos*) take the paper's description step by step, and nothing that it does not ask for:

1. *Search*: encode the 20 frames and the 47 prompts, embed the windows one by one, classify.
2. *Update*: encode the 16 frames of the chosen window and the prompts, this time with a gradient; backwards through the text encoder; AdamW.
3. *Prediction*: encode the 20 frames and the prompts under the new context.

The library returns the prediction before adaptation too; the plain code is not charged for one. The rows *one more adaptation step* are older and count search and update only, with one run of the text encoder between them.

## Where the time goes

In billions of multiplications with their additions, context in front:

| | plain | fast | what is left out |
|---|---:|---:|---|
| 20 frames through the image encoder | 88 | 88 | |
| the 47 prompts through the text encoder, one way | 137 | 18 | padding (77 tokens become 12), all but EOT in the last block, the start token |
| first adaptation from pixels | 795 | 143 | frames encoded once; three runs forwards become two, the first of which is remembered for the next video |
| each further step | 795 | 37 | one run forwards, one backwards: the text of a prediction is that of the next search and update |

Products of matrices are three quarters of a fast step, at more than eight tenths of what the processor reaches on large square ones. Tried and left out, because each was worth less than 5 %: sentences sorted by length instead of
padded in attention; softmax written out instead of PyTorch's attention; weights transposed in advance.

## Rows that stay below their aim, and why

**A step with the context in front.** All later tokens depend on it, so every real token of every prompt, about eleven after the start token, has to be run, against 77 of the plain formula. Counted in multiplications a further
step is a factor of 21. With four vectors of context at the *end*, only these and EOT are run: the words' keys and values are constants.

**40 videos in one batch.** A batch saves nothing on a processor that is busy with one video already: every video has its own gradient and its own context after the step, and the products of matrices of a single video (526 rows) run as
fast as those of eight. What videos do share, the first run of the text encoder, the library remembers from one call to the next, so one by one profits as well. On a GPU, where one video fills a
small part of the machine, a batch is worth it: `tests/bench/gpu.py` measures that.

**All windows.** A window of 16 frames costs the plain loop 16 products of a frame with the three taps; sharing leaves one. So exact sharing saves a factor of 16 in multiplications, and the rest of the ratio is
the loop's overhead. It grows with L.

## On a GPU

`python tests/bench/gpu.py` checks a GPU's numbers against float32 on the CPU, in float32, bfloat16 and float16, and writes one table: videos per second of CLIP-AU and CLIP-AUTT from features and from frames, for 1, 5 and 10 steps and batches of
1, 8 and 64. Aims: 300 videos/s for one-step CLIP-AUTT from features, and ten times the paper's 26.4 from frames, on one H200. No GPU was at hand for this page; the script is tested on the CPU.
"""
Path("docs").mkdir(exist_ok=True)
Path("docs/benchmarks.md").write_text(text, encoding="utf-8")
print(text)
