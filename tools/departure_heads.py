"Heads trained as the code that was published with CLIP-AUTT trains them, one difference each. Used by `departures.py`."

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F

from clip_autt.au import AU, AUBank
from clip_autt.backbone import Backbone
from clip_autt.faces.tasks import TASKS
from clip_autt.features import LabeledVideo
from clip_autt.model import ClipAU
from clip_autt.train import fit, logits_of

LR, WEIGHT_DECAY = 1e-3, 1e-4  # as in `ClipAUTT`


def underscored(bank: AUBank) -> AUBank:
    return AUBank([replace(au, prompt=au.prompt.replace(" ", "_")) for au in bank])


def comma_lost(bank: AUBank) -> AUBank:
    "The last two rows run into each other."
    last = bank[len(bank) - 2].prompt + bank[len(bank) - 1].prompt
    return AUBank([*[*bank][:-2], AU(None, "two in one", last)])


def renamed(videos: Sequence[LabeledVideo], name) -> list[LabeledVideo]:
    "The same videos under other names, so that `fit` takes them for other people."
    return [x._replace(video=replace(x.video, subject=name(x.video))) for x in videos]


def split_by_video(train: list, val: list) -> tuple[list, list]:
    "As many videos to train and to validate on as before, but dealt out without regard to people."
    both = renamed([*train, *val], lambda v: v.id)
    order = torch.randperm(len(both), generator=torch.Generator().manual_seed(0)).tolist()
    return [both[i] for i in order[: len(train)]], [both[i] for i in order[len(train) :]]


def fit_few_batches(
    model: ClipAU, train: Sequence[LabeledVideo], val: Sequence[LabeledVideo], epochs: int, batches: int = 10
) -> None:
    "Training with a few batches of eight in each epoch; the epoch with the best validation accuracy is kept."
    optimizer = torch.optim.AdamW(model.requires_grad_(True).parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    g = torch.Generator().manual_seed(0)
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


HEADS = (
    "bundled",
    "seed 1",
    "seed 2",
    "seed 3",
    "underscores",
    "46 prompts",
    "split by video",
    "training accuracy",
    "ten batches",
)
