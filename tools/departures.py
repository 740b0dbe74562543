# ruff: noqa: E501  (rows of a page)
"""What each departure of the released CLIP-AUTT code does, one at a time: writes docs/departures.md. Everything measured is kept, so an interrupted call goes on.

python tools/departures.py                                    # the embedded benchmark: seeds 0, 10, 20, 30, 40
python tools/departures.py --seeds 30000 30010 --page x.md    # other strangers, another page
"""

import argparse
import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from joblib import Parallel, delayed
from torch import Tensor, nn

from clip_autt.au import AU, AUBank
from clip_autt.backbone import Backbone, UnseenTokenWarning, load_backbone
from clip_autt.features import LabeledVideo, VideoFeatures
from clip_autt.utils.files import atomic_path, content_hash
from clip_autt.model import ClipAU
from clip_autt.window import entropy
from clip_autt.prompts import AUPrompts, ReleasedPrompts
from clip_autt.method import encode_views
from clip_autt.faces.tasks import TASKS
from clip_autt.train import fit, logits_of
from clip_autt.utils.weights import weights_hash
from clip_autt.faces.videos import source_videos, target_videos

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "build" / "assets"
SEEDS = 0, 10, 20, 30, 40
WINDOW, LR, WEIGHT_DECAY = 16, 1e-3, 1e-4  # as in `ClipAUTT`
N_PASSES, CLIP_FRAMES, BATCH = 10, 20, 8


@dataclass(frozen=True)
class Setup:
    "CLIP-AUTT with each departure as a switch. None is the paper's method; `RELEASED` is the library's `variant='released'`."

    wordless: bool = False  # 1: prompts hold no AU words
    before: bool = False  # 2: the prediction is the chosen window's, before the update
    kept: bool = False  # 3: the prompt is never reset
    together: bool = False  # 5: one prompt and the mean entropy for all videos of a person
    no_tau: bool = False  # 8: the window search leaves out tau
    normed: bool = False  # 15: sentences are normalised before the text adapter
    epsilon: bool = False  # 16: 1e-8 inside the logarithm
    window: bool = False  # half of 2: the prediction is the chosen window's, after the update
    frames: str = "all"  # 7, 11, 12: a key of FRAMES
    batch: int = 0  # 4: drop_last with batches of this size; 0 keeps all
    passes: str = "one"  # 6: 'best' or 'last' of ten
    head: str = "bundled"  # 9, 10, 13: a key of HEADS


PAPER = Setup()
RELEASED = Setup(wordless=True, before=True, kept=True, together=True, no_tau=True, normed=True, epsilon=True)


class Tuner:
    "One step on the entropy of the surest window, with the switches of a setup."

    def __init__(self, model: ClipAU, setup: Setup, bank: AUBank | None = None):
        self.model, self.setup, bank = model, setup, bank or model.bank
        self.prompts = ReleasedPrompts(model.backbone, bank) if setup.wordless else AUPrompts(model.backbone, bank, model.template)
        self.reset()

    def reset(self) -> None:
        self.ctx = self.prompts.ctx_start.clone()

    def text(self, ctx: Tensor) -> Tensor:
        "Unit vectors [N, D] of the action units."
        text = self.prompts.encode(ctx)
        return self.model.embed_text(F.normalize(text, dim=-1) if self.setup.normed else text)

    def logits(self, video: Tensor, z_text: Tensor) -> Tensor:
        return self.model.classifier(self.model.au_scores(video, z_text))

    @torch.no_grad()
    def surest(self, windows: Tensor, z_text: Tensor) -> Tensor:
        "The window [D] with the lowest entropy."
        scores = self.model.au_scores(windows, z_text)
        logits = self.model.classifier(scores / self.model.logit_scale if self.setup.no_tau else scores)
        return windows[(entropy_epsilon if self.setup.epsilon else entropy)(logits).argmin()]

    def adapt(self, videos: Sequence[VideoFeatures]) -> Tensor:
        "Logits [B, C] for the videos of a person."
        groups = [videos] if self.setup.together else [[v] for v in videos]
        return torch.cat([self.adapt_group(group) for group in groups])

    def adapt_group(self, videos: Sequence[VideoFeatures]) -> Tensor:
        "Tune one prompt on some videos, with a new optimizer, and classify them."
        if not self.setup.kept:
            self.reset()
        seen, ctx = [encode_views(self.model, v, WINDOW) for v in videos], nn.Parameter(self.ctx)
        z_text = self.text(ctx)
        looked = torch.stack([self.logits(self.surest(x.windows, z_text), z_text) for x in seen])
        (ctx.grad,) = torch.autograd.grad(entropy(looked).mean(), ctx)
        torch.optim.AdamW([ctx], lr=LR, weight_decay=WEIGHT_DECAY).step()
        self.ctx = ctx.detach()
        if self.setup.before:
            return looked.detach()
        with torch.no_grad():
            z_text = self.text(self.ctx)
            return torch.stack([self.logits(self.surest(x.windows, z_text) if self.setup.window else x.video, z_text) for x in seen])


def entropy_epsilon(logits: Tensor) -> Tensor:
    p = logits.softmax(-1)
    return -(p * (p + 1e-8).log()).sum(-1)


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


def people(videos: Sequence[LabeledVideo]) -> list[list[LabeledVideo]]:
    "The videos of each person."
    own: dict[str, list[LabeledVideo]] = {}
    for x in videos:
        own.setdefault(x.video.subject, []).append(x)
    return [*own.values()]


# ---- how it is scored


def right(logits: Tensor, own: Sequence[LabeledVideo], classes: Sequence[str]) -> float:
    "Share of a person's videos that are classified right."
    return float(np.mean([classes[i] == x.label for i, x in zip(logits.argmax(-1).tolist(), own, strict=True)]))


def score_person(tuner: Tuner, own: Sequence[LabeledVideo]) -> float:
    "WAR of one person: of the only pass, of the last, or of the one that is best by the labels, whose prompt is then kept."
    videos, how = [x.video for x in own], tuner.setup.passes
    passes = []
    for _ in range(1 if how == "one" else N_PASSES):
        logits = tuner.adapt(videos)
        passes.append((right(logits, own, tuner.model.classes), tuner.ctx))
    war, tuner.ctx = max(passes, key=lambda p: p[0]) if how == "best" else passes[-1]
    return war


def run(model: ClipAU, setup: Setup, videos: Sequence[LabeledVideo], seed: int = 0, bank: AUBank | None = None) -> dict:
    "Mean WAR over people, and the share of the videos that were scored at all."
    changed = [x._replace(video=FRAMES[setup.frames](x.video, 1_000_003 * seed + i)) for i, x in enumerate(videos)]
    groups = [own[: len(own) // setup.batch * setup.batch] if setup.batch else own for own in people(changed)]
    tuner = Tuner(model, setup, bank)
    scores = [score_person(tuner, own) for own in groups if own]
    return dict(war=float(np.mean(scores)) if scores else None, scored=sum(map(len, groups)) / len(videos))


# ---- heads trained as the released code trains


def underscored(bank: AUBank) -> AUBank:
    return AUBank([replace(au, prompt=au.prompt.replace(" ", "_")) for au in bank])


def comma_lost(bank: AUBank) -> AUBank:
    "The last two rows run into each other."
    last = bank[len(bank) - 2].prompt + bank[len(bank) - 1].prompt
    return AUBank([*[*bank][:-2], AU(None, "two in one", last)])


def renamed(videos: Sequence[LabeledVideo], name) -> list[LabeledVideo]:
    "The same videos under other people's names, so that `fit` takes them for strangers."
    return [x._replace(video=replace(x.video, subject=name(x.video))) for x in videos]


def split_by_video(train: list, val: list) -> tuple[list, list]:
    "As many videos to train and to validate on as before, but dealt out without regard to people."
    both = renamed([*train, *val], lambda v: v.id)
    order = torch.randperm(len(both), generator=torch.Generator().manual_seed(0)).tolist()
    return [both[i] for i in order[: len(train)]], [both[i] for i in order[len(train) :]]


def fit_few_batches(model: ClipAU, train: Sequence[LabeledVideo], val: Sequence[LabeledVideo], epochs: int, batches: int = 10) -> None:
    "Training with a few batches of eight in each epoch; the epoch with the best validation accuracy is kept."
    optimizer, g = torch.optim.AdamW(model.requires_grad_(True).parameters(), lr=LR, weight_decay=WEIGHT_DECAY), torch.Generator().manual_seed(0)
    y, y_val = (torch.tensor([model.classes.index(x.label) for x in data]) for data in (train, val))
    best = -1.0
    for _ in range(epochs):
        for batch in torch.randperm(len(train), generator=g).split(8)[:batches]:
            loss = F.cross_entropy(logits_of(model, [train[i].video.frames for i in batch.tolist()]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            accuracy = float((logits_of(model, [x.video.frames for x in val]).argmax(-1) == y_val).float().mean())
        if accuracy > best:
            best, weights = accuracy, {k: t.clone() for k, t in model.state_dict().items()}
    model.load_state_dict(weights)
    model.eval().trained = True


def fit_as_bundled(model: ClipAU, train: Sequence[LabeledVideo], val: Sequence[LabeledVideo], seed: int = 0) -> None:
    "The recipe of the bundled heads."
    fit(model, train, val, epochs=30, lr=1e-3, patience=10, seed=seed, progress=False)


def train_head(name: str, clip: Backbone, task: str, train: list, val: list) -> ClipAU:
    "A head of the given name for a task."
    bank = {"underscores": underscored, "46 prompts": comma_lost}.get(name, lambda bank: bank)(AUBank.default())
    seed = int(name.split()[1]) if name.startswith("seed") else 0
    model = ClipAU(clip, bank=bank, classes=TASKS[task].classes, seed=seed)
    if name == "ten batches":
        fit_few_batches(model, train, val, epochs=20 if task == "stress" else 10)
    elif name == "split by video":
        fit_as_bundled(model, *split_by_video(train, val))
    elif name == "training accuracy":
        fit_as_bundled(model, train, renamed(train, lambda v: f"again {v.subject}"))
    else:
        fit_as_bundled(model, train, val, seed)
    return model


HEADS = "bundled", "seed 1", "seed 2", "seed 3", "underscores", "46 prompts", "split by video", "training accuracy", "ten batches"


# ---- what is computed once


def kept(path: Path, make) -> list[list[LabeledVideo]]:
    "Lists of embedded videos, computed once."
    if not path.is_file():
        sets = [[(v.frames, v.times, v.found, v.id, v.subject, v.backbone, label) for v, label in videos] for videos in make()]
        with atomic_path(path) as tmp:
            torch.save(sets, tmp)
    return [[LabeledVideo(VideoFeatures(*facts), label) for *facts, label in videos] for videos in torch.load(path, weights_only=True)]


@cache
def clip() -> Backbone:
    return load_backbone("facs-tiny")


@cache
def strangers(folder: Path, task: str, seed: int, jobs: int = 1) -> list[LabeledVideo]:
    return kept(folder / f"{clip().hash}-{task}-{seed}-videos.pt", lambda: [target_videos(clip(), task, seed, n_jobs=jobs, progress=False)])[0]


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
        spoken = AUBank.default() if setup.head == "underscores" else None  # tuned prompts are in plain words
        found = run(model, setup, strangers(folder, task, seed), seed, spoken)
        with atomic_path(path) as tmp:
            tmp.write_text(json.dumps(dict(asdict(setup), **found)))
        print(task, seed, {k: x for k, x in asdict(setup).items() if x != getattr(PAPER, k)}, found, flush=True)
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
    "A row for one switch: turned on in the paper variant, and compared with its absence in the released one."
    own = {k for k, x in switch.items() if getattr(RELEASED, k) == x}
    without = replace(RELEASED, **{k: getattr(PAPER, k) for k in own})
    return Row(item, what, how, (PAPER, replace(PAPER, **switch)), (without, replace(RELEASED, **switch)), tuple(tasks))


KEPT, TEN = replace(PAPER, kept=True), replace(PAPER, kept=True, passes="best")
ROWS = (
    row("1", "The learnable prompt holds no AU words: start token, four context vectors, token 0, zeros.", "`wordless`", wordless=True),
    row("2", "What is scored is the prediction on the chosen window, made before the update.", "`before`", before=True),
    Row(
        "2a",
        "One half of 2: the prediction is the chosen window's, but after the update.",
        "`window`, as `predict_on='window'`",
        (PAPER, replace(PAPER, window=True)),
    ),
    row("3", "The prompt is never reset; AdamW is new for each batch.", "`kept`", kept=True),
    Row(
        "4",
        "`drop_last` at test: the rest of each person's videos after full batches is never scored. With batches of 40, no person here would be scored at all.",
        "`batch=8`; 16 of 20 clips are scored",
        (PAPER, replace(PAPER, batch=BATCH)),
    ),
    row("5", "One prompt, tuned on the mean entropy of a batch of up to 40 videos: all of a person.", "`together`", together=True),
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
    row("7", "Clips of 20 frames from a random start, wrapped at the end.", "`frames='wrapped'`, at test", frames="wrapped"),
    row("8", "The window search leaves out tau.", "`no_tau`", no_tau=True),
    row("9", "Trained on phrases with underscores, tested with spaces.", "`head='underscores'`: trained anew, tuned in plain words", head="underscores"),
    row("10", "A missing comma: 46 prompts, two of them in one.", "`head='46 prompts'`: trained anew, the last two prompts run together", head="46 prompts"),
    row("11", "Frames are sorted by name as text (StressID).", "`frames='string-sorted'`, at test", ("stress",), frames="string-sorted"),
    row("12", "The first frame of every list is lost.", "`frames='without first'`, at test", frames="without first"),
    row("13a", "Source videos are split by video, not by person.", "`head='split by video'`: trained anew", head="split by video"),
    row("13b", "The source checkpoint is chosen by training accuracy.", "`head='training accuracy'`: trained anew", head="training accuracy"),
    row("13c", "Ten batches of 8 in an epoch, 10 epochs (stress: 20).", "`head='ten batches'`: trained anew", head="ten batches"),
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
    row("15", "Sentences are normalised before the text adapter at test, but not in training.", "`normed`", normed=True),
    row("16", "The search adds 1e-8 inside the logarithm; the first of equal windows wins.", "`epsilon`", epsilon=True),
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


PAGE = """# What each departure of the released code does

Written by `python tools/departures.py`. The code that was published with CLIP-AUTT differs from the description in sixteen ways. Here each difference is a switch, turned on alone. **All faces are rendered**, by the
program in this package; nothing here says how large an effect is on real videos.

Each seed takes ten strangers with 20 clips each; WAR is the mean over people. A change is *with* minus *without*, in points, on the same videos: mean ± standard deviation over the seeds {seeds}. N = {n} videos a cell.

| variant | {tasks} |
|---|---|---|---|
{levels}

## One switch in the paper's method

The method as described: reset at each video, one step on the surest window of 16 frames, the whole video is predicted after the update.

| | the released code | switch of `tools/departures.py` | {tasks} |
|---|---|---|---|---|---|
{paper}

## The same switch within the released code

All of 1, 2, 3, 5, 8, 15 and 16 are on (`variant="released"`). For these seven, the change is what is lost or won by having the item, with the other six on; for the others, what it adds.

| | switch | {tasks} |
|---|---|---|---|---|
{released}

## How to read it

* Rows 0 are the size of chance for every row that needs another head (9, 10, 13). A smaller change there means nothing.
* One step on the entropy, forgotten after each video, changes hardly any decision between two classes. So item 2 matters because it scores *another part of the video*, and not because it scores before the update: 2a, after the update, says the same.
* 6 minus 6a is what is gained by choosing among ten passes with the labels of the test videos. It is no property of the method.
* 8 and 16 change which window is tuned on. They change what is predicted only where the prediction is made on that window, as it is within the released code.
* 7, 11 and 12 are switched at test only. In the published code 11 and 12 hold in training too.
* Of 4, the cell shows the change on the videos that are left. The others have no prediction, which no WAR shows.
* Within the released code, 1 and 15 give the head sentences that it was not trained on. What it makes of them is an accident of its training: the rows 0 of the second table are far wider than those of the first.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="first subject of each group of ten")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "results", help="where results and embedded videos are kept")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "departures.md")
    parser.add_argument("--jobs", type=int, default=-1, help="processes; -1 for one per core")
    args = parser.parse_args()
    for folder in (args.folder, ASSETS):
        folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore", UnseenTokenWarning)
    pairs = [(task, setup) for r in ROWS for pair in (r.paper, r.released) if pair for task in r.tasks for setup in pair]
    for task in TASKS:
        for seed in args.seeds:
            strangers(args.folder, task, seed, args.jobs)
    Parallel(n_jobs=args.jobs)(delayed(prepare)(task, name) for task, name in dict.fromkeys((task, s.head) for task, s in pairs))
    todo = dict.fromkeys((task, seed, setup) for task, setup in pairs for seed in args.seeds)
    Parallel(n_jobs=args.jobs)(delayed(measure)(args.folder, *what) for what in todo)
    levels = "\n".join(level(args.folder, args.seeds, name, setup) for name, setup in (("as described", PAPER), ("released", RELEASED)))
    tables = {column: table(args.folder, args.seeds, column) for column in ("paper", "released")}
    page = PAGE.format(seeds=", ".join(map(str, args.seeds)), n=200 * len(args.seeds), tasks=" | ".join(TASKS), levels=levels, **tables)
    args.page.write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    import departures  # other processes find its functions under this name

    departures.main()
