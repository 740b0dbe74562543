"""Cross-validation by person: nobody is met twice, nothing is lost by a kill, and chance stays chance."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from clip_autt import InputError, LabeledVideo, load_backbone, make_clip, write_video
from clip_autt.cli.main import app
from clip_autt.evaluation import cross_validation as cv
from clip_autt.evaluation.cross_validation import Fold, blind_guesses_of, cross_validate, plan_folds, subject_folds
from clip_autt.evaluation.metrics import macro_f1, uar, war
from clip_autt.evaluation.pooled import (
    N_DRAWS,
    drawn_scores,
    person_counts,
    person_shares,
    person_weights,
    pooled_bootstrap,
)
from clip_autt.evaluation.source_model import ClipAUTrainer, trainer_for, validation_people
from clip_autt.evaluation.study import cold_start, data_notes, study_json, study_summary
from clip_autt.evaluation.units import Interrupted
from clip_autt.methods.registry import make_methods
from clip_autt.personal.training import made_up_videos

CLASSES = "neutral", "pain"
PEOPLE = ["ann", "bob", "cid", "dee", "eve", "fay"]


@pytest.fixture(scope="module")
def videos():
    return made_up_videos(PEOPLE, clips=6, rest_sd=2.0)


@pytest.fixture(scope="module")
def trainer():
    return trainer_for(load_backbone("tiny"), CLASSES, dict(epochs=2))


def run(train_model, videos, n_folds=3, methods=("clip-au",), **kwargs):
    return cross_validate(train_model, videos, n_folds, methods, progress=False, **kwargs)


class Watched:
    "A trainer that remembers whom it was given."

    def __init__(self, inner, add=()):
        self.inner, self.key, self.classes, self.add, self.seen = inner, inner.key, inner.classes, list(add), []

    def __call__(self, videos, seed, folder=None):
        self.seen.append({x.video.subject for x in videos})
        return self.inner([*videos, *self.add], seed, folder)

    def load(self, folder):
        return self.inner.load(folder)


def check_strangers(watched, study):
    "Nobody is tested by a model that was given any of her clips, and everybody is tested once in each repetition."
    table = study.results.of(study.reference)
    folds = [own for _, own in table.groupby(["seed", "fold"], sort=True)]
    assert len(folds) == len(watched.seen)
    for trained_on, own in zip(watched.seen, folds):
        assert not trained_on & {*own.subject}, "a person is in training and in the test"
    for _, own in table.groupby("seed"):
        assert not own.duplicated(["subject", "video"]).any()


def plain(study):
    return study.results.table.drop(columns="seconds")


# folds


def test_folds_are_of_people_and_each_person_is_in_one():
    for n in (2, 4, "all"):
        folds = subject_folds(PEOPLE * 3, n, seed=5)
        assert sorted(who for fold in folds for who in fold) == PEOPLE
        assert max(map(len, folds)) - min(map(len, folds)) <= 1
    assert subject_folds(PEOPLE, 3, 0) != subject_folds(PEOPLE, 3, 1)
    assert subject_folds(PEOPLE[::-1], 3, 0) == subject_folds(PEOPLE, 3, 0)


def test_nobody_is_met_by_a_model_that_knows_her(videos, trainer, monkeypatch):
    watched = Watched(trainer)
    check_strangers(watched, run(watched, videos, repeats=2))
    # the check can fail: a fold that trains on one of its own people
    monkeypatch.setattr(
        Fold,
        "parts",
        lambda self, xs: (
            [x for x in xs if x.video.subject not in self.people[1:]],
            [x for x in xs if x.video.subject in self.people],
        ),
    )
    leaky = Watched(trainer)
    with pytest.raises(AssertionError, match="in training and in the test"):
        check_strangers(leaky, run(leaky, videos))


def test_leave_one_person_out(videos, trainer):
    study = run(watched := Watched(trainer), videos, "all")
    check_strangers(watched, study)
    assert all(own.subject.nunique() == 1 for _, own in study.results.table.groupby("fold"))
    assert study.results.table.fold.nunique() == len(PEOPLE) and "6 folds of one person" in study.facts[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(videos=lambda xs: [x for x in xs if x.video.subject == "ann"]), "nobody is left to train on"),
        (dict(n_folds=7), "7 folds of 6 people"),
        (dict(n_folds=1), "must be 2 or more"),
        (dict(repeats=0), "repeats must be 1 or more"),
        (dict(videos=lambda xs: xs[::2]), "all 18 clips are 'neutral'"),
        (
            dict(videos=lambda xs: [x for x in xs if x.label == "neutral" or x.video.subject == "bob"]),
            "'pain' is shown by bob only",
        ),
        (dict(videos=lambda xs: [LabeledVideo(x.video, "pian") for x in xs]), "Did you mean 'pain'"),
        (dict(videos=lambda xs: []), "no videos"),
        (dict(videos=lambda xs: [x._replace(video=replace(x.video, subject=None)) for x in xs]), "has no subject"),
        (dict(methods=["clip-aut"]), "Did you mean 'clip-autt'"),
        (dict(reference="clip-a"), "Did you mean 'clip-au'"),
    ],
)
def test_what_cannot_be_done_is_said(videos, trainer, change, message):
    change = dict(change)
    videos = change.pop("videos", lambda xs: xs)(videos)
    with pytest.raises(InputError, match=message):
        run(trainer, videos, **change)


def test_a_fold_that_leaves_nobody_who_shows_a_class_is_named(videos, trainer):
    pair = plan_folds(PEOPLE, 3)[1].people
    with pytest.raises(InputError, match="fold 2 of 3, seed 0: all people who show 'pain'"):
        run(trainer, [x for x in videos if x.label == "neutral" or x.video.subject in pair])


def test_a_method_that_a_fold_does_not_allow_says_why(videos):
    few = [x for x in videos if x.video.subject in ("ann", "bob")]
    with pytest.raises(
        InputError, match=r"fold 1 of 2, seed 0: this model has no personal head.*nobody can be set aside"
    ):
        run(trainer_for(load_backbone("tiny"), CLASSES, dict(epochs=1)), few, 2, ("personal",))


# rows that see no face


def test_blind_rows_are_counted_by_hand(videos, trainer):
    "Conditions where held-out people do the opposite of everybody else: a guess that looked would be right."
    labels = {who: ["pain", "pain", "neutral", "pain", "neutral", "neutral"] for who in PEOPLE}
    labels["ann"] = ["neutral", "neutral", "pain", "neutral", "pain", "neutral"]
    labels["bob"] = ["pain"] * 6
    tasks = ["talk", "talk", "rest", "talk", "rest", "alone"]
    given = [x._replace(label=labels[x.video.subject][i % 6]) for i, x in enumerate(videos)]
    conditions = {x.video.id: tasks[i % 6] for i, x in enumerate(videos)}
    study = run(trainer, given, "all", conditions=conditions)
    for who in PEOPLE:
        others = [(labels[p][i], tasks[i]) for p in PEOPLE if p != who for i in range(6)]
        most = Counter(label for label, _ in others)
        said = {t: Counter(label for label, task in others if task == t).most_common(1)[0][0] for t in tasks}
        table = study.results.table[study.results.table.subject == who]
        own = {m: table[table.method == m] for m in ("majority", "task-prior")}
        majority = "pain" if most["pain"] > most["neutral"] else "neutral"
        assert [*own["majority"].predicted] == [majority] * 6
        assert [*own["task-prior"].predicted] == [said[t] for t in tasks]
        assert [*own["task-prior"].condition] == tasks
    ann = study.results.of("task-prior").query("subject == 'ann'")
    assert (ann.predicted != ann.label).sum() == 5, "it has looked at the person it is tested on"


def test_guesses_know_the_names_of_clips_only(videos):
    train = [x for x in videos if x.video.subject != "ann"]
    ids, conditions = ["ann/0", "ann/1"], {"ann/0": "new task"}
    assert blind_guesses_of(train, ids, CLASSES)["majority"] == ["neutral"] * 2  # of equals, the first class
    assert blind_guesses_of(train, ids, CLASSES, conditions)["task-prior"] == ["neutral"] * 2
    assert blind_guesses_of(train[1::2] + train[:2], ids, CLASSES)["majority"] == ["pain"] * 2


# kept, and killed


SCRIPT = """
import os, signal, sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[3])
import clip_autt.train as train
from test_cross_validation import CLASSES, PEOPLE, made_up_videos, run, trainer_for, load_backbone
save, left = train._save, [int(sys.argv[2])]
def counted(*args):
    save(*args)
    left[0] -= 1
    if left[0] == 0: os.kill(os.getpid(), signal.SIGKILL)
train._save = counted
run(trainer_for(load_backbone("tiny"), CLASSES, dict(epochs=2)), made_up_videos(PEOPLE, clips=6, rest_sd=2.0),
    methods=("clip-au", "personal"), cache_dir=sys.argv[1])
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_study_goes_on_and_gives_the_same_numbers(videos, trainer, tmp_path, monkeypatch):
    "Each fold saves 2 epochs of the head and 4 of the personal one. Killed in the second fold, after 3 of its 6."
    import clip_autt.train as train

    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "killed"), "9", str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len([*(tmp_path / "killed").glob("models/*/finished.json")]) == 1
    saved, save = [], train._save
    monkeypatch.setattr(train, "_save", lambda *args: (saved.append(1), save(*args)))
    methods = "clip-au", "personal"
    resumed = run(trainer, videos, methods=methods, cache_dir=tmp_path / "killed")
    assert len(saved) == 3 + 6, "what was finished is trained again"
    whole = run(trainer, videos, methods=methods, cache_dir=tmp_path / "whole")
    nothing_kept = run(trainer, videos, methods=methods)
    assert len(saved) == 9 + 18
    for other in (whole, nothing_kept):
        pd.testing.assert_frame_equal(plain(resumed), plain(other), check_exact=True)
    assert study_summary(resumed).equals(study_summary(whole))
    run(trainer, videos, methods=methods, cache_dir=tmp_path / "killed")
    assert len(saved) == 27


def test_what_a_model_depends_on_makes_a_new_one(videos, trainer, tmp_path):
    def trained(**kwargs):
        run(
            watched := Watched(kwargs.pop("trainer", trainer)),
            kwargs.pop("videos", videos),
            cache_dir=tmp_path,
            **kwargs,
        )
        return len(watched.seen)

    assert trained() == 3 and trained() == 0
    first = [x._replace(label="pain") if i == 0 else x for i, x in enumerate(videos)]
    assert trained(videos=first) == 2  # the fold that holds this clip out has the same training clips
    assert trained(seed=1) == 3
    assert trained(trainer=replace(trainer, epochs=3)) == 3
    assert trained(methods=["frame-mean"]) == 0


def test_a_damaged_model_is_trained_again(videos, trainer, tmp_path):
    before = run(trainer, videos, cache_dir=tmp_path)
    for name in ("head.safetensors", "config.json"):
        broken = next(tmp_path.glob(f"models/*/model/{name}"))
        broken.write_bytes(broken.read_bytes()[:20])
        run(watched := Watched(trainer), videos, cache_dir=tmp_path)
        assert len(watched.seen) == 1
    pd.testing.assert_frame_equal(plain(run(trainer, videos, cache_dir=tmp_path)), plain(before))


def test_ctrl_c_keeps_the_folds_that_are_done(videos, trainer, tmp_path):
    class Stopped(Watched):
        def __call__(self, *args):
            if len(self.seen) == 2:
                raise KeyboardInterrupt
            return super().__call__(*args)

    with pytest.raises(Interrupted) as stopped:
        run(Stopped(trainer), videos, cache_dir=tmp_path)
    record = study_json(stopped.value.results)
    assert record["complete"] is False and len(record["people"]) == 4
    run(watched := Watched(trainer), videos, cache_dir=tmp_path)
    assert len(watched.seen) == 1


def any_model(videos, seed, folder=None):
    "A plain function: it has no settings, and cannot read a model back."
    return ClipAUTrainer(load_backbone("tiny"), CLASSES, epochs=1, personal=False)(videos, seed, folder)


def test_a_plain_function_and_methods_of_ones_own(videos, tmp_path):
    study = run(
        any_model,
        videos,
        methods=lambda model: {"source": make_methods(["clip-au"], model)["clip-au"]},
        cache_dir=tmp_path,
    )
    assert study.results.methods == ("majority", "source") and study.reference == "source"
    again = run(any_model, videos, methods=["clip-au"], cache_dir=tmp_path)
    assert [*again.results.of("clip-au").predicted] == [*study.results.of("source").predicted]


# scores


@pytest.fixture(scope="module")
def rows():
    g = np.random.default_rng(4)
    one = pd.DataFrame(dict(subject=g.choice([*"abcdefg"], 90), label=g.choice(["x", "y", "z"], 90, p=[0.6, 0.3, 0.1])))
    runs = []
    for seed in (0, 1):
        guess = np.where(g.random(90) < 0.6, one.label, g.choice(["x", "y", "z"], 90))
        guess = pd.Series(guess, dtype=object).where(g.random(90) > 0.05, None)
        runs.append(one.assign(seed=seed, predicted=guess))
    return pd.concat(runs, ignore_index=True)


def test_the_bootstrap_is_that_of_a_plain_loop(rows):
    classes, n = ("x", "y", "z"), 60
    counts = person_counts(rows, classes)
    people = [*rows.subject.unique()]
    weights = person_weights(len(people), n)
    drawn = np.random.default_rng(0).integers(len(people), size=(n, len(people)))
    loop = []
    for draw in drawn:
        scores = []
        for _, own in rows.groupby("seed"):
            t = pd.concat([own[own.subject == people[i]] for i in draw])
            y, p = t.label, t.predicted
            scores.append([uar(y, p, classes), war(y, p), macro_f1(y, p, classes)])
        loop.append(np.mean(scores, 0))
    np.testing.assert_allclose(drawn_scores(counts, weights), loop, atol=1e-12)
    found = pooled_bootstrap(counts, n=n)["uar"]
    np.testing.assert_allclose(found[1:], np.percentile(np.array(loop)[:, 0], (2.5, 97.5)), atol=1e-12)


def test_a_gain_is_paired_and_intervals_are_over_people(rows):
    classes = "x", "y", "z"
    counts = person_counts(rows, classes)
    assert all(d == (0, 0, 0) for d in pooled_bootstrap(counts, counts).values())
    twice = pd.concat([rows, rows], ignore_index=True)  # every clip twice: no new people, so no narrower interval
    np.testing.assert_allclose(pooled_bootstrap(person_counts(twice, classes))["uar"], pooled_bootstrap(counts)["uar"])
    alone = rows[rows.subject == "a"]
    assert np.isnan(pooled_bootstrap(person_counts(alone, classes))["uar"].low)


def test_two_thousand_draws_are_quick():
    counts = np.random.default_rng(0).integers(0, 4, size=(5, 300, 4, 5))
    began = time.perf_counter()
    pooled_bootstrap(counts)
    assert N_DRAWS == 2000 and time.perf_counter() - began < 5


def test_repetitions_are_averaged_and_add_no_people(videos, trainer):
    both = run(trainer, videos, repeats=2)
    each = [run(trainer, videos, seed=s) for s in (0, 1)]
    assert [*both.results.table.seed.unique()] == [0, 1] and "2 repetitions with seeds 0 to 1" in both.facts[0]
    np.testing.assert_allclose(
        study_summary(both).uar["clip-au"], np.mean([study_summary(s).uar["clip-au"] for s in each])
    )
    shares = np.mean([person_shares(s.counts["clip-au"]) for s in each], 0)
    np.testing.assert_allclose(person_shares(both.counts["clip-au"]), shares)
    assert both.results.settings["n_subjects"] == 6 and both.results.settings["n_videos"] == 36


def test_shuffled_labels_give_chance_and_a_leak_would_show(trainer):
    "Labels are shuffled within each person. A model that was given the held-out clips knows them all the same."
    people, g = [f"p{i}" for i in range(8)], np.random.default_rng(0)
    videos = made_up_videos(people, clips=8)
    own = {who: g.permutation([x.label for x in videos if x.video.subject == who]).tolist() for who in people}
    shuffled = [x._replace(label=own[x.video.subject].pop()) for x in videos]
    many = replace(trainer, epochs=20, lr=1e-2, personal=False, validation=0.0)
    found = {name: study_summary(run(t, shuffled, 3)).uar["clip-au"] for name, t in
             {"fair": many, "leaky": Watched(many, add=shuffled)}.items()}  # fmt: skip
    assert 0.35 < found["fair"] < 0.65 < found["leaky"], found
    assert study_summary(run(many, videos, 3)).uar["clip-au"] > 0.7  # and there is something to be found


def test_places_count_the_clips_of_a_person(videos, trainer):
    study = run(trainer, videos, methods=("clip-au", "personal"))
    for _, own in study.results.table.groupby(["method", "subject"]):
        assert [*own.clip_number] == [1, 2, 3, 4, 5, 6]
        assert [*own.video.str.split("/").str[1].astype(int)] == [0, 1, 2, 3, 4, 5]
    start = cold_start(study)
    assert [*start.xs("personal", level="method").clips] == [6, 6, 6, 18]
    assert study.reference == "clip-au" and "the first clip of everybody shows 'neutral'" in " ".join(study.notes)


def test_validation_people_show_every_class():
    videos = made_up_videos([f"p{i}" for i in range(8)], clips=2)
    single = [x for x in videos if (x.label == "pain") == (int(x.video.subject[1]) < 3)]  # a class for each person
    for seed in range(10):
        train, val = validation_people(single, 0.2, seed)
        assert {x.label for x in train} == {x.label for x in val} == {*CLASSES}
        assert not {x.video.subject for x in train} & {x.video.subject for x in val}


def test_notes_tell_what_a_study_cannot_say():
    def notes(videos):
        return " | ".join(data_notes(videos))

    many = made_up_videos([f"p{i}" for i in range(6)], clips=10)
    assert notes(many[1:]) == ""  # the first person begins with pain
    assert "few" in notes(made_up_videos(["a", "b"])[1:])
    assert "6 of 6 people come class after class" in notes(sorted(many, key=lambda x: x.label))
    assert "one clip of each person" in notes(many[::10][:3] + many[31::10])
    assert "6 of 6 people show one class only" in notes(
        [x for x in many if (x.label == "pain") == (x.video.subject < "p3")]
    )
    assert "are 'neutral': compare UAR" in notes([x for i, x in enumerate(many) if i % 2 == 0 or i % 10 == 1])


# the command


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    "Four rendered people, four clips each, and a manifest."
    root, rows = tmp_path_factory.mktemp("films"), ["path,subject,label,split"]
    for n, person in enumerate(range(30_010, 30_014)):
        for i, label in enumerate(("neutral", "pain", "pain", "neutral")):
            write_video(make_clip("pain", person, label, seed=i, every=5), root / f"p{n}" / f"{i}.mp4")
            rows.append(f"p{n}/{i}.mp4,p{n},{label},{'train' if n < 2 else 'test'}")
    (root / "split.csv").write_text("\n".join(rows))
    (root / "clips.csv").write_text("\n".join(row.rpartition(",")[0] for row in rows))
    return root


def call(*args, code=0):
    result = CliRunner().invoke(app, ["evaluate", *map(str, args)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def test_the_command_on_films(films, tmp_path):
    (films / "p0" / "broken.mp4").write_text("no film")
    table = films / "more.csv"
    table.write_text((films / "clips.csv").read_text() + "\np0/broken.mp4,p0,pain\np0/gone.mp4,p0,pain")
    options = [
        "--manifest",
        table,
        "--cv",
        "subjects:2",
        "--methods",
        "clip-au,personal",
        "--epochs",
        1,
        "--crop",
        "none",
    ]
    kept = ["--cache-dir", tmp_path / "kept"]
    result = call(*options, *kept, "--json", tmp_path / "r.json", "--csv", tmp_path / "r.csv")
    record, rows = json.loads((tmp_path / "r.json").read_text()), pd.read_csv(tmp_path / "r.csv")
    assert record["format_version"] == 2 and [*record["methods"]] == ["majority", "clip-au", "personal"]
    assert record["complete"] and record["n_subjects"] == 4 and record["n_videos"] == 16
    assert {*record["methods"]["personal"]["per_subject"]} == {"p0", "p1", "p2", "p3"}
    assert {*record["methods"]["personal"]["pooled"]["uar"]} == {"value", "low", "high"}
    assert len(rows) == 3 * 16 and {*rows.fold} == {1, 2} and rows.groupby("subject").fold.nunique().eq(1).all()
    for said in ("p0/gone.mp4: no such file", "1 of 17 clips could not be used", "4 people are few"):
        assert said in " ".join(record["notes"])
    assert f"kept in {tmp_path / 'kept'}" in result.stderr and "gone.mp4" in result.stderr
    assert "2 folds of 2 people" in result.stdout and "fitted inside each fold" in result.stdout
    models = {p: p.stat().st_mtime_ns for p in (tmp_path / "kept").rglob("head.safetensors")}
    assert len(models) == 4  # two folds, with a personal head each
    assert call(*options, *kept).stdout == result.stdout
    assert models == {p: p.stat().st_mtime_ns for p in models}
    assert call(*options, "--cache-dir", "none", "--store", tmp_path / "kept" / "features").stdout == result.stdout


def test_the_default_folder_is_said_and_lies_in_the_cache(films, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIP_AUTT_CACHE", str(tmp_path / "cache"))
    options = ["--manifest", films / "clips.csv", "--cv", "subjects:2", "--methods", "clip-au", "--no-personal"]
    before = sorted(films.rglob("*"))
    said = call(*options, "--epochs", 1, "--crop", "none", "-q").stderr
    (folder,) = (tmp_path / "cache" / "studies").iterdir()
    assert str(folder) in said and folder.name.startswith("clips-")
    assert {p.name for p in folder.iterdir()} == {"features", "models", "rows"}
    assert sorted(films.rglob("*")) == before


def test_a_trained_head_meets_the_people_for_testing(films, tmp_path):
    options = ["--model", "facs-tiny/pain", "--crop", "none", "--methods", "clip-au,personal", "--cache-dir", tmp_path]
    record = json.loads(call("--manifest", films / "split.csv", *options, "--json", "-").stdout)
    assert {*record["people"]} == {"p2", "p3"} and "8 of 16 clips are for testing" in " ".join(record["notes"])
    assert "majority" not in record["methods"] and "nothing was fitted" in record["title"][1]
    record = json.loads(call("--manifest", films / "clips.csv", *options, "--json", "-").stdout)
    assert len(record["people"]) == 4 and "too good" in " ".join(record["notes"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cv", "subjects:2", "--task", "pain"], "--task: belongs to the embedded people"),
        (["--cv", "subjects:2", "--subjects", 3], "--subjects: belongs to the embedded people"),
        (["--cv", "subjects:2", "--model", "facs-tiny"], "--model: --cv trains a new head"),
        (["--model", "facs-tiny", "--epochs", 3], "--epochs: nothing is trained without --cv"),
        (["--model", "facs-tiny", "--no-personal"], "--personal: nothing is trained"),
        ([], "what should be evaluated?"),
        (["--cv", "10"], "Folds are of people, never of clips"),
        (["--cv", "clips:10"], "never of clips"),
        (["--cv", "subjects:9"], "9 folds of 4 people"),
        (["--cv", "subjects:2", "--repeats", 0], "--repeats must be 1 or more"),
        (["--cv", "subjects:2", "--no-personal"], "personal: needs the personal head"),
        (["--cv", "subjects:2", "--methods", "clip-aut"], "Did you mean 'clip-autt'"),
        (["--cv", "subjects:2", "--set", "clip-au.lr=1"], "clip-au has no setting"),
        (["--cv", "subjects:2", "--order", "daily"], "order must be one of"),
        (["--cv", "subjects:2", "--backbone", "tiny-er"], "tiny-er"),
    ],
)
def test_options_that_do_not_fit_are_refused(films, tmp_path, options, message):
    said = call("--manifest", films / "clips.csv", *options, "--cache-dir", tmp_path / "c", code=1).stderr
    (error,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert message in error
    assert not [*tmp_path.rglob("*.safetensors")]  # and nothing was encoded before


@pytest.mark.parametrize("option", ["--cv", "--epochs", "--store", "--root", "--fps", "--head"])
def test_options_of_a_manifest_need_one(option):
    assert f"{option}: for your own clips only" in call(option, "3", code=1).stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda line: line.replace(",p1,", ",p0,").replace(",p2,", ",p0,").replace(",p3,", ",p0,"), "nobody is left"),
        (lambda line: line.replace(",pain", ",neutral"), "Two classes are needed"),
        (lambda line: line if ",p2," in line else line.replace(",pain", ",neutral"), "'pain' is shown by p2 only"),
        (lambda line: line.replace(",p2,pain", ",p2,"), "label is empty"),
    ],
)
def test_tables_that_cannot_be_cross_validated(films, tmp_path, change, message):
    lines = (films / "clips.csv").read_text().splitlines()
    (tmp_path / "t.csv").write_text("\n".join([lines[0], *map(change, lines[1:])]))
    options = ["--manifest", tmp_path / "t.csv", "--root", films, "--cv", "subjects:all", "--cache-dir", tmp_path / "c"]
    assert message in call(*options, code=1).stderr


def test_the_module_is_the_one_that_is_tested():
    assert cv.cross_validate is cross_validate
