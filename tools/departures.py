# ruff: noqa: E501  (rows of a page)
"""What each departure of the released CLIP-AUTT code does, one at a time: writes docs/departures.md. Everything measured is kept, so an interrupted call goes on.

python tools/departures.py                                    # the embedded benchmark: seeds 0, 10, 20, 30, 40
python tools/departures.py --seeds 30000 30010 --page x.md    # other strangers, another page
"""

import argparse
import json
import warnings
from collections.abc import Sequence
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from departure_heads import train_head
from joblib import Parallel, delayed
from torch import Tensor

from clip_autt.au import AUBank
from clip_autt.backbone import Backbone, UnseenTokenWarning, load_backbone
from clip_autt.faces.tasks import TASKS
from clip_autt.faces.videos import source_videos, target_videos
from clip_autt.features import LabeledVideo, VideoFeatures, by_subject
from clip_autt.model import ClipAU
from clip_autt.released import Departures, ReleasedClipAUTT
from clip_autt.utils.files import atomic_path, content_hash
from clip_autt.utils.weights import weights_hash

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "build" / "assets"
PAGE = Path(__file__).with_name("departures_page.md")
SEEDS = 0, 10, 20, 30, 40
N_PASSES, CLIP_FRAMES, BATCH = 10, 20, 8


@dataclass(frozen=True)
class Setup:
    "CLIP-AUTT with some departures. As it stands: the method as described; `RELEASED` is the library's `ReleasedClipAUTT`."

    departures: Departures = field(default_factory=Departures.none)  # 1, 2, 3, 5, 8, 15, 16: switches of the library
    predict_on: str = "video"  # 'window', half of 2: the prediction is the chosen window's, after the update
    frames: str = "all"  # 7, 11, 12: a key of FRAMES
    batch: int = 0  # 4: drop_last with batches of this size; 0 keeps all
    passes: str = "one"  # 6: 'best' or 'last' of ten
    head: str = "bundled"  # 9, 10, 13: a key of HEADS

    def turned(self, **switches) -> "Setup":
        "With some switches changed, those of `departures` by their own names."
        inner = {k: x for k, x in switches.items() if hasattr(self.departures, k)}
        outer = {k: x for k, x in switches.items() if k not in inner}
        return replace(self, departures=replace(self.departures, **inner), **outer)

    def method(self, model: ClipAU) -> ReleasedClipAUTT:
        return ReleasedClipAUTT(model, departures=self.departures, predict_on=self.predict_on, untrained_ok=True)


PAPER = Setup()
RELEASED = Setup(Departures())


# ---- what is done to the videos


def taken(v: VideoFeatures, at: Tensor) -> VideoFeatures:
    "A video made of some frames of another, in the given order; the times stay in order."
    return replace(v, frames=v.frames[at], times=v.times[: len(at)], found=v.found[at])


def wrapped(v: VideoFeatures, seed: int) -> VideoFeatures:
    "Twenty frames from a random start; past the end the video begins again."
    start = int(torch.randint(len(v), (), generator=torch.Generator().manual_seed(seed)))
    return taken(v, (start + torch.arange(min(CLIP_FRAMES, len(v)))) % len(v))


def string_sorted(v: VideoFeatures, seed: int) -> VideoFeatures:
    "Frames in the order of their numbers as text: 0, 1, 10, 11, ..., 2, 20, ..."
    return taken(v, torch.tensor(sorted(range(len(v)), key=str)))


def without_first(v: VideoFeatures, seed: int) -> VideoFeatures:
    return taken(v, torch.arange(1, len(v))) if len(v) > 1 else v


FRAMES = {"all": lambda v, seed: v, "wrapped": wrapped, "string-sorted": string_sorted, "without first": without_first}


# ---- how it is scored


def right(logits: Tensor, own: Sequence[LabeledVideo], classes: Sequence[str]) -> float:
    "Share of a person's videos that are classified right."
    return float(np.mean([classes[i] == x.label for i, x in zip(logits.argmax(-1).tolist(), own, strict=True)]))


def score_person(method: ReleasedClipAUTT, own: Sequence[LabeledVideo], passes: str = "one") -> float:
    "WAR of one person: of the only pass, of the last, or of the one that is best by the labels, whose prompt is then kept."
    found = []
    for _ in range(1 if passes == "one" else N_PASSES):
        logits = torch.stack([r.logits for r in method.adapt_many([x.video for x in own])])
        found.append((right(logits, own, method.model.classes), method.state_dict()))
    war, state = max(found, key=lambda p: p[0]) if passes == "best" else found[-1]
    method.load_state_dict(state)
    return war


def run(model: ClipAU, setup: Setup, videos: Sequence[LabeledVideo], seed: int = 0) -> dict:
    "Mean WAR over people, and the fraction of the videos that were scored at all."
    changed = [x._replace(video=FRAMES[setup.frames](x.video, 1_000_003 * seed + i)) for i, x in enumerate(videos)]
    people = by_subject(changed).values()
    groups = [own[: len(own) // setup.batch * setup.batch] if setup.batch else own for own in people]
    method = setup.method(model)
    scores = [score_person(method, own, setup.passes) for own in groups if own]
    return dict(war=float(np.mean(scores)) if scores else None, scored=sum(map(len, groups)) / len(videos))


# ---- what is computed once


def kept(path: Path, make) -> list[list[LabeledVideo]]:
    "Lists of embedded videos, computed once."
    if not path.is_file():
        sets = [
            [(v.frames, v.times, v.found, v.id, v.subject, v.backbone, label) for v, label in videos]
            for videos in make()
        ]
        with atomic_path(path) as tmp:
            torch.save(sets, tmp)
    return [
        [LabeledVideo(VideoFeatures(*facts), label) for *facts, label in videos]
        for videos in torch.load(path, weights_only=True)
    ]


@cache
def clip() -> Backbone:
    return load_backbone("facs-tiny")


@cache
def strangers(folder: Path, task: str, seed: int, jobs: int = 1) -> list[LabeledVideo]:
    return kept(
        folder / f"{clip().hash}-{task}-{seed}-videos.pt",
        lambda: [target_videos(clip(), task, seed, n_jobs=jobs, progress=False)],
    )[0]


@cache
def head(task: str, name: str) -> ClipAU:
    "A head by name, trained at its first use. Source videos are shared with `make assets`."
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UnseenTokenWarning)
    if name == "bundled":
        return ClipAU.from_pretrained(f"facs-tiny/{task}", backbone=clip())
    path = ASSETS / f"{clip().hash}-{task}-head-{name.replace(' ', '-')}"
    if not (path / "config.json").is_file():
        train, val = kept(ASSETS / f"{task}-{clip().hash}.pt", lambda: source_videos(clip(), task, n_jobs=-1))
        train_head(name, clip(), task, train, val).save_pretrained(path)
        print(task, "trained the head:", name, flush=True)
    return ClipAU.from_pretrained(path, backbone=clip())


def prepare(task: str, name: str) -> None:
    "Train a head if need be."
    head(task, name)


def measure(folder: Path, task: str, seed: int, setup: Setup) -> dict:
    "WAR of a setup on the ten people of a seed, computed once."
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UnseenTokenWarning)
    model = head(task, setup.head)
    name = content_hash(json.dumps(asdict(setup), sort_keys=True), weights_hash(model.state_dict()))
    path = folder / f"{clip().hash}-{task}-{seed}-departure-{name}.json"
    if not path.is_file():
        if setup.head == "underscores":
            model = copy(model)
            model.bank = AUBank.default()  # tuned prompts are in plain words
        found = run(model, setup, strangers(folder, task, seed), seed)
        with atomic_path(path) as tmp:
            tmp.write_text(json.dumps(dict(asdict(setup), **found)))
        print(task, seed, {k: x for k, x in vars(setup).items() if x != getattr(PAPER, k)}, found, flush=True)
    return json.loads(path.read_text())


# ---- the page


@dataclass(frozen=True)
class Row:
    "A departure: what the code does, how it is switched on, and the setups compared (without it, with it)."

    item: str
    what: str
    how: str
    paper: tuple[Setup, Setup] | None = None
    released: tuple[Setup, Setup] | None = None
    tasks: tuple[str, ...] = tuple(TASKS)


def row(item: str, what: str, how: str, tasks: Sequence[str] = tuple(TASKS), **switch) -> Row:
    "A row for one switch: turned on in the method as described, and compared with its absence in the released code."
    own = {k: False for k in switch if hasattr(RELEASED.departures, k)}
    pair = RELEASED.turned(**own), RELEASED.turned(**switch)
    return Row(item, what, how, (PAPER, PAPER.turned(**switch)), pair, tuple(tasks))


KEPT, TEN = PAPER.turned(never_reset=True), PAPER.turned(never_reset=True, passes="best")
ROWS = (
    row(
        "1",
        "The learnable prompt holds no AU words: start token, four context vectors, token 0, zeros.",
        "`wordless_prompts`",
        wordless_prompts=True,
    ),
    row(
        "2",
        "What is scored is the prediction on the chosen window, made before the update.",
        "`predict_before_update`",
        predict_before_update=True,
    ),
    Row(
        "2a",
        "One half of 2: the prediction is the chosen window's, but after the update.",
        "`predict_on='window'`",
        (PAPER, PAPER.turned(predict_on="window")),
    ),
    row("3", "The prompt is never reset; AdamW is new for each batch.", "`never_reset`", never_reset=True),
    Row(
        "4",
        "`drop_last` at test: the rest of each person's videos after full batches is never scored. With batches of 40, no person here would be scored at all.",
        "`batch=8`; 16 of 20 clips are scored",
        (PAPER, replace(PAPER, batch=BATCH)),
    ),
    row(
        "5",
        "One prompt, tuned on the mean entropy of a batch of up to 40 videos: all of a person.",
        "`one_context`",
        one_context=True,
    ),
    Row(
        "6",
        "Ten passes over the test videos; the best by test labels counts and is handed to the next person.",
        "`passes='best'`, on top of 3: with a reset all passes are equal",
        (KEPT, TEN),
        (RELEASED, replace(RELEASED, passes="best")),
    ),
    Row(
        "6a",
        "The same ten passes without a look at the labels: the last one counts.",
        "`passes='last'`",
        (KEPT, replace(KEPT, passes="last")),
        (RELEASED, replace(RELEASED, passes="last")),
    ),
    row(
        "7",
        "Clips of 20 frames from a random start, wrapped at the end.",
        "`frames='wrapped'`, at test",
        frames="wrapped",
    ),
    row("8", "The window search leaves out tau.", "`unscaled_search`", unscaled_search=True),
    row(
        "9",
        "Trained on phrases with underscores, tested with spaces.",
        "`head='underscores'`: trained anew, tuned in plain words",
        head="underscores",
    ),
    row(
        "10",
        "A missing comma: 46 prompts, two of them in one.",
        "`head='46 prompts'`: trained anew, the last two prompts run together",
        head="46 prompts",
    ),
    row(
        "11",
        "Frames are sorted by name as text (StressID).",
        "`frames='string-sorted'`, at test",
        ("stress",),
        frames="string-sorted",
    ),
    row("12", "The first frame of every list is lost.", "`frames='without first'`, at test", frames="without first"),
    row(
        "13a",
        "Source videos are split by video, not by person.",
        "`head='split by video'`: trained anew",
        head="split by video",
    ),
    row(
        "13b",
        "The source checkpoint is chosen by training accuracy.",
        "`head='training accuracy'`: trained anew",
        head="training accuracy",
    ),
    row(
        "13c",
        "Ten batches of 8 in an epoch, 10 epochs (stress: 20).",
        "`head='ten batches'`: trained anew",
        head="ten batches",
    ),
    *(
        row(
            "0",
            "None: the bundled recipe with another random start. The size of chance, for 9, 10 and 13.",
            f"`head='seed {i}'`: trained anew",
            head=f"seed {i}",
        )
        for i in (1, 2, 3)
    ),
    Row(
        "14",
        "Frames are resized bicubically for training and bilinearly at test.",
        "cannot be switched: faces are drawn at the size that the backbone takes, so no frame is resized",
    ),
    row(
        "15",
        "Sentences are normalised before the text adapter at test, but not in training.",
        "`normalized_text`",
        normalized_text=True,
    ),
    row(
        "16",
        "The search adds 1e-8 inside the logarithm; the first of equal windows wins.",
        "`entropy_epsilon`",
        entropy_epsilon=True,
    ),
)


def cell(folder: Path, task: str, seeds: Sequence[int], pair: tuple[Setup, Setup] | None, tasks: Sequence[str]) -> str:
    "Change of WAR in points: mean and standard deviation over seeds."
    if pair is None or task not in tasks:
        return "–"
    off, on = ([measure(folder, task, s, setup)["war"] for s in seeds] for setup in pair)
    change = 100 * np.subtract(on, off)
    spread = f" ± {change.std(ddof=1):.1f}" if len(seeds) > 1 else ""
    return f"{round(float(change.mean()), 1) + 0.0:+.1f}{spread}"  # no minus before a zero


def table(folder: Path, seeds: Sequence[int], column: str) -> str:
    "Rows of one of the two tables."
    lines = []
    for r in ROWS:
        pair = getattr(r, column)
        cells = " | ".join(cell(folder, task, seeds, pair, r.tasks) for task in TASKS)
        if column == "paper":
            lines.append(f"| {r.item} | {r.what} | {r.how} | {cells} |")
        elif pair:
            lines.append(f"| {r.item} | {r.how.split(',')[0].split(':')[0]} | {cells} |")
    return "\n".join(lines)


def level(folder: Path, seeds: Sequence[int], name: str, setup: Setup) -> str:
    wars = [[measure(folder, task, s, setup)["war"] for s in seeds] for task in TASKS]
    return f"| {name} | " + " | ".join(f"{np.mean(w):.3f}" for w in wars) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="first subject of each group of ten")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "build" / "results", help="where results and embedded videos are kept"
    )
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "departures.md")
    parser.add_argument("--jobs", type=int, default=-1, help="processes; -1 for one per core")
    args = parser.parse_args()
    for folder in (args.folder, ASSETS):
        folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore", UnseenTokenWarning)
    pairs = [
        (task, setup) for r in ROWS for pair in (r.paper, r.released) if pair for task in r.tasks for setup in pair
    ]
    for task in TASKS:
        for seed in args.seeds:
            strangers(args.folder, task, seed, args.jobs)
    Parallel(n_jobs=args.jobs)(
        delayed(prepare)(task, name) for task, name in dict.fromkeys((task, s.head) for task, s in pairs)
    )
    todo = dict.fromkeys((task, seed, setup) for task, setup in pairs for seed in args.seeds)
    Parallel(n_jobs=args.jobs)(delayed(measure)(args.folder, *what) for what in todo)
    levels = "\n".join(
        level(args.folder, args.seeds, name, setup) for name, setup in (("as described", PAPER), ("released", RELEASED))
    )
    tables = {column: table(args.folder, args.seeds, column) for column in ("paper", "released")}
    page = PAGE.read_text(encoding="utf-8").format(
        seeds=", ".join(map(str, args.seeds)), n=200 * len(args.seeds), tasks=" | ".join(TASKS), levels=levels, **tables
    )
    args.page.write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    import departures  # other processes find its functions under this name

    departures.main()
