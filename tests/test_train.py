"""Training: exactness, resuming, and what is refused."""

import copy
import warnings
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import make_features
from sklearn.metrics import recall_score

from clip_autt import train
from clip_autt.video.clip import Clip
from clip_autt.data.manifest import Item, read_manifest
from clip_autt.utils.errors import CheckpointError, InputError, ManifestError, VideoError
from clip_autt.features import LabeledVideo
from clip_autt.model import ClipAU
from clip_autt.train import History, balanced_weights, fit, logits_of
from clip_autt.data.encode import encode_manifest
from clip_autt.video.io import write_video

matplotlib.use("Agg")


def examples(n: int = 24, people: int = 6, seed: int = 0, rare: int = 2) -> list[LabeledVideo]:
    "Videos of 8 to 12 frames; every `rare`-th shows pain, a constant shift of its middle frames."
    videos = []
    for i in range(n):
        v = make_features(100 * seed + i, 8 + i % 5, id=f"v{i}", subject=f"S{i % people}")
        y = (i // people + i) % rare == 0
        v.frames[3:6] += 2.0 * y
        videos.append(LabeledVideo(v, "pain" if y else "neutral"))
    return videos


@pytest.fixture
def fresh(tiny):
    return lambda **kwargs: ClipAU(tiny, **kwargs)


def quiet(model, data, *args, **kwargs):
    return fit(model, data, *args, progress=False, **kwargs)


def same(a, b):
    return all(torch.equal(x, b.state_dict()[name]) for name, x in a.state_dict().items())


def test_learns_eight_clips_by_heart(fresh):
    model, data = fresh(), examples(8)
    h = quiet(model, data, epochs=40)
    assert h.train_loss[-1] < 0.02 and model.trained
    assert [model.predict(v).label for v, _ in data] == [label for _, label in data]


def test_same_seed_same_weights(fresh):
    a, b, c = fresh(), fresh(), fresh()
    ha, hb, hc = (quiet(m, examples(), epochs=2, seed=seed, window=5) for m, seed in ((a, 0), (b, 0), (c, 1)))
    assert ha == hb and same(a, b)
    assert ha != hc and not same(a, c)


def test_global_random_numbers_are_neither_used_nor_touched(fresh):
    a, b = fresh(), fresh()
    torch.manual_seed(1)
    quiet(a, examples(), epochs=1, window=5)
    after = torch.rand(3)
    torch.manual_seed(2)
    quiet(b, examples(), epochs=1, window=5)
    torch.manual_seed(1)
    assert same(a, b) and torch.equal(after, torch.rand(3))


@pytest.mark.parametrize("weight", [None, torch.tensor([0.3, 2.0])])
def test_unequal_lengths_equal_one_video_at_a_time(fresh, weight):
    model, data = fresh().double(), examples(9)
    frames, y = [v.frames.double() for v, _ in data], train.class_numbers(model, data)
    plain = torch.stack(
        [F.cross_entropy(model(x[None]).logits, t[None], reduction="none")[0] for x, t in zip(frames, y)]
    )
    w = torch.ones(2).double() if weight is None else weight.double()
    expected = torch.autograd.grad((w[y] * plain).sum() / w[y].sum(), list(model.parameters()))
    logits = logits_of(model, frames, batch_size=2)
    got = torch.autograd.grad(F.cross_entropy(logits, y, None if weight is None else w), list(model.parameters()))
    torch.testing.assert_close(logits, torch.cat([model(x[None]).logits for x in frames]), rtol=0, atol=1e-12)
    for a, b in zip(got, expected):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_one_epoch_equals_the_plain_loop(fresh):
    "The loop as a textbook has it, one video at a time: same weights to rounding."
    data, fast, plain = examples(10), fresh(), fresh()
    loss = quiet(fast, data, epochs=1, batch_size=4, seed=3, class_weights=[1.0, 3.0]).train_loss[0]
    g, opt = torch.Generator().manual_seed(3), torch.optim.AdamW(plain.parameters(), lr=1e-3, weight_decay=1e-4)
    y, w, total, count = train.class_numbers(plain, data), torch.tensor([1.0, 3.0]), 0.0, 0.0
    for batch in torch.randperm(10, generator=g).split(4):
        losses = torch.stack(
            [F.cross_entropy(plain(data[i].video.frames[None]).logits, y[i : i + 1]) for i in batch.tolist()]
        )
        summed = (w[y[batch]] * losses).sum()
        opt.zero_grad()
        (summed / w[y[batch]].sum()).backward()
        opt.step()
        total, count = total + summed.item(), count + w[y[batch]].sum().item()
    assert loss == pytest.approx(total / count, abs=1e-5)
    for a, b in zip(fast.parameters(), plain.parameters()):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-5)


def test_balanced_weights_give_each_class_the_same_say():
    y = torch.tensor([0] * 6 + [2] * 2)
    assert balanced_weights(y, 3).tolist() == pytest.approx([8 / 12, 0, 8 / 4])


def test_balanced_is_the_formula(fresh):
    data, a, b, c = examples(24, rare=3), fresh(), fresh(), fresh()
    n = sum(label == "pain" for _, label in data)
    ha = quiet(a, data, epochs=1, class_weights="balanced")
    hb = quiet(b, data, epochs=1, class_weights=[24 / (2 * (24 - n)), 24 / (2 * n)])
    assert n == 8 and ha == hb and same(a, b)
    assert quiet(c, data, epochs=1) != ha


def test_a_window_is_a_run_of_the_video(fresh):
    x, g = torch.arange(10.0)[:, None], torch.Generator().manual_seed(0)
    starts = {int(train._run_of(x, 4, g)[0]) for _ in range(200)}
    assert starts == set(range(7))
    assert all(torch.equal(train._run_of(x, 4, g).diff(dim=0), torch.ones(3, 1)) for _ in range(5))
    assert train._run_of(x, 10, g) is x and train._run_of(x, None, g) is x


def test_cached_embeddings_are_not_changed(fresh):
    data = examples()
    before = copy.deepcopy([v.frames for v, _ in data])
    quiet(fresh(), data, val=0.3, epochs=1, window=4)
    assert all(torch.equal(v.frames, x) for (v, _), x in zip(data, before))


# Validation


def test_a_fraction_sets_people_aside(fresh):
    data = examples(40, people=10)
    kept, aside = train.split_videos(data, 0.2, seed=0)
    people = [{v.subject for v, _ in part} for part in (kept, aside)]
    assert not people[0] & people[1] and len(people[1]) == 2 and len(kept) + len(aside) == 40
    a, b = fresh(), fresh()
    assert quiet(a, data, val=0.2, epochs=2) == quiet(b, kept, val=aside, epochs=2)
    assert same(a, b)


def test_the_same_person_on_both_sides_is_named(fresh):
    data = examples()
    with pytest.raises(InputError, match="S3: in training and in validation"):
        quiet(
            fresh(), [x for x in data if x.video.subject != "S5"], [x for x in data if x.video.subject in ("S3", "S5")]
        )


def test_the_best_epoch_is_kept(fresh, monkeypatch):
    scores = iter([(0.9, 0.5, 0.6), (0.5, 0.7, 0.8), (0.4, 0.7, 0.8), (0.4, 0.9, 0.8), (0.1, 0.9, 0.7)])
    weights = []

    def validate(model, *_):
        weights.append(copy.deepcopy(model.state_dict()))
        return next(scores)

    monkeypatch.setattr(train, "validate", validate)
    model = fresh()
    h = quiet(model, examples(), val=0.3, epochs=5)
    assert h.best_epoch == 3 and not h.stopped_early, "highest UAR, then lowest loss, then the earliest"
    assert all(torch.equal(x, weights[2][name]) for name, x in model.state_dict().items())


def test_early_stopping_counts_epochs_without_a_better_one(fresh, monkeypatch):
    scores = iter([(0.9, 0.5, 0.6), (0.5, 0.7, 0.8), *[(0.6, 0.7, 0.8)] * 9])
    monkeypatch.setattr(train, "validate", lambda *_: next(scores))
    h = quiet(fresh(), examples(), val=0.3, epochs=10, patience=3)
    assert (len(h), h.best_epoch, h.stopped_early) == (5, 2, True)


def test_no_validation_keeps_the_last_epoch(fresh):
    h = quiet(fresh(), examples(), epochs=3)
    assert (h.best_epoch, h.val_uar, h.stopped_early) == (3, (), False) and "no validation" in repr(h)


def test_validation_scores_are_those_of_the_model(fresh):
    data = examples(40, people=10)
    model = fresh()
    h = quiet(model, data, val=0.3, epochs=1)
    aside = train.split_videos(data, 0.3, 0)[1]
    y, guess = [label for _, label in aside], [model.predict(v).label for v, _ in aside]
    assert h.val_uar[0] == pytest.approx(recall_score(y, guess, average="macro", labels=["neutral", "pain"]))
    assert h.val_war[0] == pytest.approx(np.mean(np.array(y) == guess))
    loss = np.mean(
        [-model(v.frames[None]).logits.log_softmax(-1)[0, model.classes.index(label)].item() for v, label in aside]
    )
    assert h.val_loss[0] == pytest.approx(loss, abs=1e-5)


def test_uar_does_not_count_a_class_that_was_only_guessed():
    assert train._uar(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 2, 1, 1])) == pytest.approx(0.75)


# Resuming

HOW = dict(val=0.3, window=5, class_weights="balanced", patience=4)


class Killed(KeyboardInterrupt):
    pass


def kill_in_epoch(monkeypatch, k):
    "The k-th epoch of a process is cut off before its end, after the weights have begun to move."
    real, left = train._epoch, [k]

    def epoch(run, *args):
        left[0] -= 1
        loss = real(run, *args)
        if left[0] == 0:
            raise Killed
        return loss

    monkeypatch.setattr(train, "_epoch", epoch)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_killed_in_any_epoch_and_resumed_is_as_undisturbed(fresh, tmp_path, monkeypatch, k):
    data, whole, killed, resumed = examples(), fresh(), fresh(), fresh()
    h = quiet(whole, data, epochs=5, **HOW)
    path = tmp_path / "runs/a.pt"
    with monkeypatch.context() as m, pytest.raises(Killed):
        kill_in_epoch(m, k)
        quiet(killed, data, epochs=5, checkpoint=path, **HOW)
    assert path.exists() == (k > 1) and same(killed, fresh()) and not killed.trained, "all or nothing"
    assert quiet(resumed, data, epochs=5, checkpoint=path, **HOW) == h and same(resumed, whole) and resumed.trained
    assert [p.name for p in path.parent.iterdir()] == ["a.pt"]
    assert quiet(killed, data, epochs=5, checkpoint=path, **HOW) == h and same(killed, whole), (
        "a finished run is read, not repeated"
    )


def test_killed_again_and_again(fresh, tmp_path, monkeypatch):
    data, whole, path = examples(), fresh(), tmp_path / "a.pt"
    h = quiet(whole, data, epochs=4, **HOW)
    for _ in range(4):
        with monkeypatch.context() as m, pytest.raises(Killed):
            kill_in_epoch(m, 2)
            quiet(fresh(), data, epochs=5, checkpoint=path, **HOW)
    resumed = fresh()
    assert quiet(resumed, data, epochs=4, checkpoint=path, **HOW) == h and same(resumed, whole)


def test_early_stop_survives_a_resume(fresh, tmp_path, monkeypatch):
    scores = iter([(0.5, 0.7, 0.8), *[(0.6, 0.7, 0.8)] * 9])
    monkeypatch.setattr(train, "validate", lambda *_: next(scores))
    how = dict(val=0.3, epochs=9, patience=2, checkpoint=tmp_path / "a.pt")
    h = quiet(fresh(), examples(), **how)
    assert quiet(fresh(), examples(), **how) == h and len(h) == 3 and h.stopped_early


def test_a_checkpoint_holds_plain_data_only(fresh, tmp_path):
    quiet(fresh(), examples(), epochs=1, lr=np.float64(1e-3), checkpoint=tmp_path / "a.pt", **HOW)
    state = torch.load(tmp_path / "a.pt", weights_only=True)
    assert state["epoch"] == 1 and {"weights", "optimizer", "rng", "history", "best", "run"} <= state.keys()
    assert str(tmp_path).encode() not in (tmp_path / "a.pt").read_bytes()


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(lr=2e-3), "lr 0.001 in the file but 0.002 here"),
        (dict(weight_decay=0), "weight decay 0.0001 in the file but 0.0 here"),
        (dict(batch_size=4), "batch size 8 in the file but 4 here"),
        (dict(seed=1), "seed 0 in the file but 1 here"),
        (dict(window=6), "window 5 in the file but 6 here"),
        (dict(patience=None), "patience 4 in the file but None here"),
        (dict(class_weights=None), "class weights .* in the file but None here"),
        (dict(val=0.5), "training videos .* validation videos"),
        (dict(epochs=1), "2 epochs are done, more than epochs=1"),
    ],
)  # fmt: skip
def test_a_checkpoint_of_other_settings_is_refused(fresh, tmp_path, change, message):
    path, model = tmp_path / "a.pt", fresh()
    quiet(fresh(), examples(), epochs=2, checkpoint=path, **HOW)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=message):
        quiet(model, examples(), **{**HOW, "epochs": 3, "checkpoint": path, **change})
    assert path.read_bytes() == before and same(model, fresh())


def test_a_checkpoint_of_other_data_or_another_model_is_refused(fresh, tmp_path):
    path, data = tmp_path / "a.pt", examples()
    quiet(fresh(), data, epochs=1, checkpoint=path)
    flipped = [data[0]._replace(label="neutral" if data[0].label == "pain" else "pain"), *data[1:]]
    renamed = [data[0]._replace(video=replace(data[0].video, subject="other")), *data[1:]]
    for other in (data[::-1], data[:-1], flipped, renamed, examples(seed=1)):
        with pytest.raises(CheckpointError, match="training: training videos"):
            quiet(fresh(), other, epochs=2, checkpoint=path)
    for model, what in (
        (fresh(logit_scale=3.0), "logit scale 5.0 in the file but 3.0"),
        (fresh(seed=1), "starting weights"),
        (fresh(activation="glu"), "activation gelu"),
    ):
        with pytest.raises(CheckpointError, match=what):
            quiet(model, data, epochs=2, checkpoint=path)


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-200]), "a.pt"),
        (lambda p: p.write_bytes(b""), "empty"),
        (lambda p: p.write_bytes(b"what is this"), "a.pt"),
        (lambda p: torch.save({"w": torch.zeros(2)}, p), "not the checkpoint of a training"),
        (
            lambda p: torch.save({**torch.load(p), "weights": {"w": torch.zeros(2)}}, p),
            "a.pt, weights: the weights do not fit",
        ),
        (
            lambda p: torch.save({k: v for k, v in torch.load(p).items() if k != "best"}, p),
            "not the checkpoint of a training",
        ),
        (lambda p: (p.unlink(), p.mkdir()), "cannot be a checkpoint"),
    ],
)
def test_a_damaged_checkpoint_is_one_clear_error(fresh, tmp_path, damage, message):
    path, model = tmp_path / "a.pt", fresh()
    quiet(fresh(), examples(), epochs=1, checkpoint=path)
    damage(path)
    with pytest.raises(CheckpointError, match=message):
        quiet(model, examples(), epochs=2, checkpoint=path)
    assert same(model, fresh())


def test_a_failed_write_keeps_the_old_checkpoint(fresh, tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    quiet(fresh(), examples(), epochs=1, checkpoint=path)
    before = path.read_bytes()
    monkeypatch.setattr(
        "clip_autt.utils.files.os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(CheckpointError, match="No space left"):
        quiet(fresh(), examples(), epochs=2, checkpoint=path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


# What is refused


@pytest.mark.parametrize(
    "data, how, message",
    [
        (lambda d: [], {}, "no training videos"),
        (lambda d: [], dict(val=0.2), "no training videos"),
        (lambda d: d, dict(val=[]), "no validation videos"),
        (lambda d: [v for v, _ in d], {}, r"must be LabeledVideo\(video, label\), got a VideoFeatures"),
        (lambda d: [x for x in d if x.label == "pain"], {}, "all 12 training videos are 'pain'"),
        (
            lambda d: [d[0]._replace(label="Pain"), *d],
            {},
            "v0: label 'Pain' is not one of neutral, pain. Did you mean 'pain'",
        ),
        (lambda d: [d[0]._replace(label=1), *d], {}, "label 1 is not one of"),
        (lambda d: [LabeledVideo(make_features(0, width=32, id="w"), "pain"), *d], {}, "w: embeddings of width 32"),
        (
            lambda d: [LabeledVideo(make_features(0, backbone="abc", id="w"), "pain"), *d],
            {},
            r"w: embedded by other weights \(abc\)",
        ),
        (
            lambda d: [LabeledVideo(make_features(0, id="w"), "pain"), *d],
            dict(val=0.2),
            r"1 videos have no subject \(w\)",
        ),
        (lambda d: d, dict(val=1.5), "between 0 and 1"),
        (lambda d: d, dict(val=0), "between 0 and 1"),
        (lambda d: d, dict(epochs=0), "epochs must be a whole number, 1 or more, got 0"),
        (lambda d: d, dict(batch_size=2.5), "batch_size must be a whole number"),
        (lambda d: d, dict(window=0), "window must be a whole number"),
        (lambda d: d, dict(patience=0, val=0.3), "patience must be a whole number"),
        (lambda d: d, dict(patience=2), "patience needs a validation set"),
        (lambda d: d, dict(lr=0), "lr must be above 0"),
        (lambda d: d, dict(lr=float("nan")), "lr must be above 0"),
        (lambda d: d, dict(weight_decay=-1), "weight_decay must be 0 or more"),
        (lambda d: d, dict(class_weights="equal"), "'balanced' or 2 numbers, got 'equal'"),
        (lambda d: d, dict(class_weights=[1, 2, 3]), "class_weights must be 2 positive numbers, for neutral, pain"),
        (lambda d: d, dict(class_weights=[1, 0]), "class_weights must be 2 positive"),
        (lambda d: d, dict(class_weights=[1, float("nan")]), "class_weights must be 2 positive"),
    ],
)
def test_what_cannot_be_trained_is_refused(fresh, data, how, message):
    model = fresh()
    with pytest.raises(InputError, match=message):
        quiet(model, data(examples()), **how)
    assert not model.trained and same(model, fresh())


def test_one_person_cannot_be_split(fresh):
    with pytest.raises(ManifestError, match=r"1 subject \(S0\) cannot be split into 2 parts"):
        quiet(fresh(), examples(people=1), val=0.2)


def test_validation_with_one_class(fresh):
    data = examples()
    val = [LabeledVideo(make_features(i, subject="T"), "pain") for i in range(3)]
    with pytest.raises(InputError, match="all 3 validation videos are 'pain'"):
        quiet(fresh(), data, val)


def test_a_diverged_training_says_when_and_leaves_the_model_alone(fresh, tmp_path):
    model = fresh()
    with pytest.raises(InputError, match=r"in epoch 1: training diverged\. Try a smaller lr, such as 0\.001"):
        quiet(model, examples(), lr=1e30, checkpoint=tmp_path / "a.pt")
    assert same(model, fresh()) and not model.trained and not (tmp_path / "a.pt").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_trains_on_the_device_of_the_model(tmp_path):
    how = dict(val=0.3, epochs=3, class_weights="balanced", checkpoint=tmp_path / "a.pt")
    model = ClipAU("tiny", device="cuda")
    h = quiet(model, examples(), **{**how, "epochs": 2})
    again = quiet(ClipAU("tiny", device="cuda"), examples(), **how)
    assert model.au_text.is_cuda and again.train_loss[:2] == h.train_loss


# History


def test_history_as_table_sentence_and_picture():
    h = History().add(0.7, (0.69, 0.5, 0.5)).add(0.5, (0.6, 0.8, 0.75))
    table = h.to_frame()
    assert list(table.index) == [1, 2] and list(table) == ["train_loss", "val_loss", "val_war", "val_uar"]
    assert "epoch 2: validation UAR 0.750" in repr(h) and "<table" in h._repr_html_()
    ax = h.plot()
    assert [len(line.get_xdata()) for line in ax.get_lines()] == [2, 2, 2] and ax.get_xlabel() == "epoch"
    bare = History().add(0.7)
    assert list(bare.to_frame()) == ["train_loss"] and bare.plot(ax=ax) is ax
    matplotlib.pyplot.close("all")


# Encoding a manifest


@pytest.fixture
def folder(tmp_path):
    for name, level in (("a", 60), ("b", 160)):
        (tmp_path / name).mkdir()
        frames = np.arange(25, dtype=np.uint8)[:, None, None, None] * 3 + np.full((25, 32, 32, 3), level, np.uint8)
        write_video(Clip(frames, np.arange(25) / 25), tmp_path / name / "1.mp4")
    (tmp_path / "a/2.mp4").write_text("no video")
    (tmp_path / "m.csv").write_text(
        "path,subject,label,start,end\na/1.mp4,A,neutral,,\nb/1.mp4,B,pain,5,14\na/2.mp4,A,pain,,\nb/1.mp4,B,neutral,20,30\n"
    )
    return tmp_path


def test_encode_manifest(folder, tiny):
    manifest, failed = read_manifest(folder / "m.csv"), []
    with pytest.warns(
        UserWarning, match=r"2 of 4 clips could not be used: a/2\.mp4: .*; b/1\.mp4\[20-30\]: .*frame 30 was asked for"
    ):
        videos = encode_manifest(tiny, manifest, fps=None, crop="none", progress=False, failed=failed)
    assert [(v.id, v.subject, len(v), label) for v, label in videos] == [
        ("a/1.mp4", "A", 25, "neutral"),
        ("b/1.mp4[5-14]", "B", 10, "pain"),
    ]
    assert [item.id for item, _ in failed] == ["a/2.mp4", "b/1.mp4[20-30]"]
    whole = encode_manifest(tiny, [Item(folder / "b/1.mp4", "B", "pain")], fps=None, crop="none", progress=False)[
        0
    ].video
    torch.testing.assert_close(videos[1].video.frames, whole.frames[5:15])
    h = quiet(ClipAU(tiny), videos, epochs=1)
    assert len(h) == 1


def test_encode_manifest_strict_or_hopeless(folder, tiny):
    manifest = read_manifest(folder / "m.csv")
    with pytest.raises(VideoError, match=r"2\.mp4"):
        encode_manifest(tiny, manifest, crop="none", progress=False, strict=True)
    with pytest.raises(ManifestError, match="1 of 1 clips could not be used"):
        encode_manifest(tiny, [manifest[2]], progress=False)
    with pytest.raises(ManifestError, match="no clips"):
        encode_manifest(tiny, [], progress=False)


def test_a_clip_without_a_face_is_not_trained_on(folder, tiny):
    with warnings.catch_warnings(), pytest.raises(ManifestError, match="a face in 0 of 13 frames"):
        warnings.simplefilter("ignore")
        encode_manifest(tiny, [Item(folder / "a/1.mp4", "A", "pain")], progress=False)
