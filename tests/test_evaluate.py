"""Evaluation: labels stay out, failures are counted, tables and files say what happened."""

import ast
import copy
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import parallel_config

from clip_autt.evaluation.stream import ORDERS, Stream
from clip_autt.autt import ClipAUTT
from clip_autt.utils.errors import InputError, UntrainedError
from clip_autt.evaluation.evaluate import evaluate
from clip_autt.evaluation.units import Interrupted
from clip_autt.features import LabeledVideo, VideoFeatures
from clip_autt.evaluation.metrics import war
from clip_autt.model import ClipAU
from clip_autt.methods.oracle import tune_on_labels
from clip_autt.methods.registry import METHODS, make_methods
from clip_autt.methods.source_statistics import attach_source
from clip_autt.personal.training import prepare_personal
from clip_autt.released import ReleasedClipAUTT
from clip_autt import method as contract
from clip_autt.method import SCOPES, NoAdaptation
from clip_autt.train import fit

evaluation = importlib.import_module("clip_autt.evaluation.evaluate")
module = importlib.import_module("clip_autt.methods.oracle")  # a function of the package may have the same name
CLASSES = ("neutral", "pain")
SWAP = dict(zip(CLASSES, CLASSES[::-1]))


def planted(names: str, clips: int = 6, seed: int = 0, rest: float = 0.0) -> list[LabeledVideo]:
    "Clips of people whose odd ones show pain: middle frames are shifted. `rest` scatters the people along that shift."
    g, videos = torch.Generator().manual_seed(seed), []
    shift = torch.randn(64, generator=torch.Generator().manual_seed(7)) / 2
    for name in names:
        person = 0.5 * torch.randn(64, generator=g) + rest * torch.randn((), generator=g) * shift
        for i in range(clips):
            frames = person + torch.randn(18 + i % 2, 64, generator=g)
            frames[5:13] += shift * (i % 2)
            n = len(frames)
            v = VideoFeatures(frames, torch.arange(n) / 12.5, torch.ones(n, dtype=torch.bool), f"{name}{i}", name)
            videos.append(LabeledVideo(v, CLASSES[i % 2]))
    return videos


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    "Much faster for small tensors where another program has the other core."
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n)


@pytest.fixture(scope="module")
def trained(tiny):
    model = ClipAU(tiny, classes=CLASSES)
    fit(model, planted("abcdefghijklmnop", 10, seed=1), epochs=6, progress=False)
    prepare_personal(
        model, planted("abcdefghijklmnop", 10, seed=1), planted("ABCD", 6, seed=9), epochs=2, draws=2, anchor=0.0
    )
    attach_source(model, planted("abcdefghijklmnop", 10, seed=1))
    return model


@pytest.fixture(scope="module")
def targets():
    return planted("XYZ", seed=2, rest=0.5)


@pytest.fixture(scope="module")
def untouched(trained):
    "The weights of the model before anything is evaluated."
    return copy.deepcopy(trained.state_dict())


@pytest.fixture(scope="module")
def results(trained, targets, untouched):
    return run([*METHODS], targets, trained, with_oracle=True)


@pytest.fixture(scope="module")
def again(results, trained, targets):
    "The same once more, with the methods in the other order."
    return run([*METHODS][::-1], targets, trained, with_oracle=True)


def run(methods, videos, model=None, **kwargs):
    return evaluate(methods, videos, model, progress=False, **kwargs)


def predictions(r, *methods):
    "What was predicted, without labels and times."
    table = pd.concat([r.of(m) for m in methods or r.methods], ignore_index=True)
    table = table.drop(columns=["label", "seconds"]).astype(object)
    table = table.drop(columns=[c for c in table if c.startswith("gate_") and table[c].isna().all()])
    return table.where(table.notna(), None)


def equal(a, b):
    pd.testing.assert_frame_equal(a, b, check_exact=True)


class Scripted(NoAdaptation):
    "Says what it is told to, and raises `error` on videos whose id is in `broken`. Counts the videos it has seen."

    def __init__(self, model, answer=None, broken=(), error=RuntimeError):
        super().__init__(model)
        self.answer, self.broken, self.error, self.seen = answer, broken, error, []

    def adapt_many(self, videos):
        out = super().adapt_many(videos)
        for v in videos:
            self.seen = [*self.seen, v.id]
            if v.id in self.broken:
                raise self.error(f"cannot read {v.id}")
        logits = None if self.answer is None else torch.tensor([float(c == self.answer) for c in self.model.classes])
        return out if logits is None else [replace(r, logits=logits) for r in out]

    def reset(self):
        self.seen = []

    def state_dict(self):
        return dict(seen=self.seen)

    def load_state_dict(self, state):
        self.seen = state["seen"]


# --- labels


def test_wrong_labels_change_scores_and_no_prediction(results, trained, targets):
    wrong = run([*METHODS], [x._replace(label=SWAP[x.label]) for x in targets], trained)
    equal(predictions(wrong), predictions(results, *METHODS))
    np.testing.assert_allclose(wrong.summary().war, 1 - results.summary().war[[*METHODS]])


def test_methods_are_given_features_and_nothing_else(trained, targets):
    given = []

    class Curious(NoAdaptation):
        def adapt_many(self, videos):
            given.extend(videos)
            return super().adapt_many(videos)

    run({"curious": Curious(trained)}, targets)
    assert [type(v) for v in given] == [VideoFeatures] * len(targets)


# --- protocol


def test_order_of_methods_does_not_matter(results, again):
    assert [*again.table.method.unique()][:3] == [*METHODS][:-4:-1]
    for name in METHODS:
        equal(predictions(again, name), predictions(results, name))


def test_same_seed_same_table(results, again, trained, targets):
    one, two = (
        r.table.drop(columns="seconds").sort_values("method", kind="stable", ignore_index=True)
        for r in (results, again)
    )
    equal(one, two)
    other = run(["clip-au"], targets, trained, with_oracle=True, seed=1)
    assert (other.of("oracle").prob_pain.to_numpy() != results.of("oracle").prob_pain.to_numpy()).any()
    equal(predictions(other, "clip-au").drop(columns="seed"), predictions(results, "clip-au").drop(columns="seed"))


@pytest.mark.parametrize("scope", ["video", "subject", "never"])
def test_equals_the_method_called_by_hand_subject_by_subject(trained, targets, scope):
    shuffled = [targets[i] for i in np.random.default_rng(0).permutation(len(targets))]
    table = run({"autt": ClipAUTT(trained, reset=scope, lr=0.1)}, shuffled).table
    method, people = ClipAUTT(trained, reset=scope, lr=0.1), {}
    for x in shuffled:
        people.setdefault(x.video.subject, []).append(x.video)
    outcomes = [r for own in people.values() for r in method.adapt_many(own)]
    assert table.video.tolist() == [v.id for own in people.values() for v in own]
    assert table.prob_pain.tolist() == [r.probs["pain"] for r in outcomes]
    assert table.window_start.tolist() == [r.window.start for r in outcomes]


def test_each_method_starts_fresh(trained, targets):
    used = ClipAUTT(trained, reset="never", lr=0.1)
    first = run({"autt": used}, targets)
    equal(predictions(run({"autt": used}, targets)), predictions(first))


def test_random_numbers_of_the_caller_are_untouched_and_do_not_matter(trained, targets):
    class Noisy(NoAdaptation):
        def adapt_many(self, videos):
            return [replace(r, logits=r.logits + torch.randn(2)) for r in super().adapt_many(videos)]

    tables = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        tables.append(predictions(run({"noisy": Noisy(trained)}, targets, with_oracle=True)))
        assert torch.equal(before, torch.get_rng_state())
    equal(*tables)


def test_the_model_is_unchanged(trained, untouched, results):
    assert all(torch.equal(x, untouched[k]) for k, x in trained.state_dict().items())
    assert not trained.training


def test_scores_agree_with_the_table(results):
    t = results.table
    for (name, subject), scores in results.per_subject().iterrows():
        own = t[(t.method == name) & (t.subject == subject)]
        assert scores.war == war(own.label, own.predicted)
    s = results.summary()
    assert s.war["clip-au"] == pytest.approx(results.per_subject().war["clip-au"].mean())
    assert s.difference["oracle"] == pytest.approx(s.war["oracle"] - s.war["clip-au"]) and np.isnan(
        s.difference["clip-au"]
    )
    assert results.confusion("clip-au").to_numpy().sum() == 18
    html = results._repr_html_()
    assert "subject by subject" in html and "before the last update" in html and "Backbone tiny" in html


# --- failures


@pytest.mark.parametrize("error", [RuntimeError, InputError])
def test_a_method_that_raises_on_one_video(trained, targets, error):
    method = Scripted(trained, "pain", {"Y3"}, error)
    r = run({"fragile": method}, targets)
    row = r.table.set_index("video").loc["Y3"]
    assert row.error == f"{error.__name__}: cannot read Y3" and pd.isna(row.predicted) and pd.isna(row.window_start)
    assert r.table.error.isna().sum() == len(targets) - 1
    assert method.seen == [x.video.id for x in targets if x.video.id != "Y3"], (
        "the others are adapted to as if it had never been there"
    )
    assert r.per_subject().war["fragile"]["Y"] == pytest.approx(2 / 6)
    assert "1 of 18 videos failed" in r.warnings[0] and "cannot read Y3" in r.warnings[0]
    assert r.confusion("fragile").loc["pain", "(none)"] == 1


def test_a_broken_video_changes_no_other_prediction(trained, targets):
    narrow = VideoFeatures(torch.randn(20, 32), torch.arange(20), torch.ones(20, dtype=torch.bool), "narrow", "Y")
    make = lambda: {"subject": ClipAUTT(trained, reset="subject", lr=0.1), "released": ReleasedClipAUTT(trained)}
    mixed, clean = (
        run(make(), videos, with_oracle=True)
        for videos in ([*targets[:8], LabeledVideo(narrow, "pain"), *targets[8:]], targets)
    )
    failed = mixed.table[mixed.table.video == "narrow"]
    assert failed.error.str.contains("width 32").all() and len(failed) == 3
    equal(predictions(mixed).query("video != 'narrow'").reset_index(drop=True), predictions(clean))


def test_all_videos_of_a_method_fail(trained, targets):
    r = run(
        {"clip-au": NoAdaptation(trained), "dead": Scripted(trained, broken={x.video.id for x in targets})}, targets
    )
    s = r.summary()
    assert s.war["dead"] == s.uar["dead"] == s.f1["dead"] == 0 and s.war["clip-au"] > 0.5
    assert "18 of 18" in r.warnings[-1] and "cannot read X0" in r.warnings[-1] and "1 warnings" in repr(r)
    assert r.confusion("dead")["(none)"].tolist() == [9, 9]
    only = run({"dead": Scripted(trained, broken={x.video.id for x in targets})}, targets)
    json.dumps(only.to_json_dict(), allow_nan=False)
    assert "18 of 18" in only._repr_html_()


def test_an_interrupt_is_not_recorded_but_raised(trained, targets):
    state = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        run({"stopped": Scripted(trained, broken={"Y3"}, error=KeyboardInterrupt)}, targets)
    assert torch.equal(state, torch.get_rng_state())


def test_nan_is_a_failure_and_not_the_first_class(trained, targets):
    class Diverged(NoAdaptation):
        def adapt_many(self, videos):
            return [replace(r, logits=r.logits * float("nan")) for r in super().adapt_many(videos)]

    r = run({"diverged": Diverged(trained)}, targets)
    assert r.table.predicted.isna().all() and r.table.error.str.contains("NaN").all()


def test_a_method_that_returns_too_few_results(trained, targets):
    class Short(NoAdaptation):
        def adapt_many(self, videos):
            return super().adapt_many(videos)[1:]

    with pytest.raises(InputError, match="adapt_many must return"):
        run({"short": Short(trained)}, targets)


def test_a_video_without_faces_counts_as_wrong(trained, targets):
    blind = replace(targets[1].video, found=torch.zeros(len(targets[1].video), dtype=torch.bool))
    r = run(["clip-au", "personal"], [targets[0], LabeledVideo(blind, "pain"), *targets[2:]], trained, with_oracle=True)
    for name in r.methods:
        row = r.of(name).iloc[1]
        assert pd.isna(row.predicted) and pd.isna(row.before) and pd.isna(row.error) and np.isnan(row.prob_pain)
        right = (r.of(name).predicted == r.of(name).label)[:6].sum()
        assert r.per_subject().war[name]["X"] == pytest.approx(right / 6)
    assert sum("1 of 18 videos show too few faces" in w for w in r.warnings) == 3


def test_the_collapse_alarm(trained, targets):
    r = run({"yes": Scripted(trained, "pain"), "clip-au": NoAdaptation(trained)}, targets)
    assert [w for w in r.warnings if "collapsed" in w] == [
        "yes: predicts 'pain' for 100% of videos, but 50% are. It may have collapsed."
    ]
    pains = [x for x in targets if x.label == "pain"]
    assert not run({"yes": Scripted(trained, "pain")}, pains).warnings, "where all are pain, saying so is no collapse"


# --- what is refused


def test_refused(trained, targets, tiny):
    nameless = LabeledVideo(replace(targets[0].video, subject=None), "pain")
    for methods, videos, model, message in [
        (["clip-autt-x"], targets, trained, "unknown method 'clip-autt-x'. Did you mean 'clip-autt'"),
        (["oracle"], targets, trained, "with_oracle=True"),
        ([], targets, trained, "no methods"),
        (["clip-au"], targets, None, "need a model"),
        ({"mine": object()}, targets, trained, "lacks adapt"),
        (["clip-au"], [], trained, "no videos"),
        (["clip-au"], [*targets, nameless], trained, "X0: has no subject"),
        (["clip-au"], [targets[0]._replace(label="pian")], trained, "X0: label 'pian' .* Did you mean 'pain'"),
        (
            ["clip-au"],
            [targets[0]._replace(label="joy")],
            trained,
            "label 'joy' is not one of the classes neutral, pain.$",
        ),
        (["clip-au"], [targets[0].video], trained, "got a VideoFeatures"),
    ]:
        with pytest.raises(InputError, match=message):
            run(methods, videos, model)
    for call in (lambda m: run("clip-au", targets, m), lambda m: tune_on_labels(m, targets)):
        with pytest.raises(UntrainedError):
            call(ClipAU(tiny))


def test_register(trained):
    methods = make_methods([*METHODS], trained)
    assert {"clip-au", "clip-autt", "clip-autt-released", "personal"} <= set(methods)
    assert all(isinstance(m, contract.TestTimeMethod) for m in methods.values()) and "oracle" not in METHODS
    assert [*make_methods("clip-au", trained)] == ["clip-au"]


# --- the oracle


def test_no_head_of_the_oracle_predicts_a_video_it_was_tuned_on(trained, targets, monkeypatch):
    "Every video is predicted once, by a head that was tuned on other videos of the same person, both classes alike."
    tuned_on, predicted = {}, []

    def spy_fit(model, train, *args, **kwargs):
        tuned_on[id(model)] = (model, train)
        return fit(model, train, *args, **kwargs)

    def spy_predict(self, v, **kwargs):
        if id(self) in tuned_on:
            predicted.append(v.id)
            train = tuned_on[id(self)][1]
            assert v.id not in [x.video.id for x in train] and {v.subject} == {x.video.subject for x in train}
            counts = [sum(x.label == c for x in train) for c in CLASSES]
            assert len(train) == 3 and min(counts) == 1
            assert self.backbone is trained.backbone
        return plain(self, v, **kwargs)

    plain = ClipAU.predict
    monkeypatch.setattr(module, "fit", spy_fit)
    monkeypatch.setattr(ClipAU, "predict", spy_predict)
    results = tune_on_labels(trained, targets)
    assert sorted(predicted) == sorted(x.video.id for x in targets) and len(results) == len(targets)


def test_the_oracle_is_a_head_tuned_on_the_other_half(trained, targets):
    own = targets[:6]
    results = tune_on_labels(trained, own, seed=3)
    first, second = module._halves(range(6), [x.label for x in own], 3)
    assert sorted([*first, *second]) == list(range(6))
    for test, train in ((first, second), (second, first)):
        head = ClipAU(trained.backbone, classes=CLASSES)
        head.load_state_dict(trained.state_dict())
        fit(head, [own[i] for i in train], epochs=30, lr=3e-4, class_weights="balanced", seed=3, progress=False)
        for i in test:
            assert torch.equal(results[i].logits, head.predict(own[i].video).logits)
            assert torch.equal(results[i].logits_before, trained.predict(own[i].video).logits)


def test_a_label_reaches_its_own_prediction_only_through_the_choice_of_halves(trained, targets, monkeypatch):
    "With the halves held fixed, turning a label round moves the other half's predictions, and not its own half's."
    monkeypatch.setattr(
        module, "_halves", lambda own, labels, seed: (own[::2], own[1::2]) if len(own) == 5 else (own[:3], own[3:])
    )
    own = targets[:6]
    plain, turned = tune_on_labels(trained, own), tune_on_labels(trained, [own[0]._replace(label="pain"), *own[1:]])
    assert [torch.equal(a.logits, b.logits) for a, b in zip(plain, turned)] == [True] * 3 + [False] * 3


@pytest.mark.parametrize("counts", [(10, 10), (7, 4), (1, 5), (3, 3), (1, 0)])
def test_halves_are_stratified(counts):
    labels = [c for c, n in zip(CLASSES, counts) for _ in range(n)]
    for seed in range(5):
        a, b = module._halves(range(len(labels)), labels, seed)
        assert sorted([*a, *b]) == list(range(len(labels))) and abs(len(a) - len(b)) <= 1
        assert all(abs(sum(labels[i] == c for i in a) - sum(labels[i] == c for i in b)) <= 1 for c in CLASSES)
    halves = {tuple(module._halves(range(20), CLASSES * 10, seed)[0]) for seed in range(5)}
    assert len(halves) == 5, "the seed deals"


def test_the_oracle_gains_where_people_differ(trained):
    alike, apart = (
        run("clip-au", planted("QRSTU", 16, seed=5, rest=rest), trained, with_oracle=True).summary().war
        for rest in (0.0, 0.6)
    )
    assert alike["clip-au"] > apart["clip-au"] + 0.1
    assert apart["oracle"] > apart["clip-au"] + 0.1


@pytest.mark.parametrize("keep", [slice(1), slice(2), slice(1, None, 2)], ids=["one video", "two videos", "one class"])
def test_the_oracle_falls_back_on_the_source_model_and_says_so(trained, targets, keep):
    own = targets[:6][keep]
    for x, r in zip(own, tune_on_labels(trained, own), strict=True):
        assert torch.equal(r.logits, trained.predict(x.video).logits) and "source model answers" in r.warnings[-1]
    table = run(["clip-au"], own + targets[6:], trained, with_oracle=True)
    assert f"oracle: for {len(own)} of {len(own) + 12} videos" in table.warnings[-1]


def test_the_oracle_keeps_the_order_of_interleaved_subjects(trained, targets):
    mixed = [targets[i] for i in np.arange(18).reshape(3, 6).T.ravel()]
    assert [len(r.entropy) for r in tune_on_labels(trained, mixed)] == [1] * 18
    for x, r in zip(mixed, tune_on_labels(trained, mixed), strict=True):
        assert torch.equal(r.logits_before, trained.predict(x.video).logits)


# --- files


def test_json_has_the_fixed_keys_and_is_strict(results, trained, targets):
    report = results.to_json_dict(task="pain")
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert [*report] == [
        "format_version",
        "backbone",
        "task",
        "seed",
        "n_subjects",
        "n_videos",
        "protocol",
        "methods",
        "versions",
        "caveats",
    ]
    assert report["caveats"] == ["the backbone has random weights: the result means nothing"]
    assert report["format_version"] == 2
    assert [report[k] for k in ("backbone", "task", "seed", "n_subjects", "n_videos")] == ["tiny", "pain", 0, 3, 18]
    for name in ("clip-au", "clip-autt", "personal"):
        assert {*report["methods"][name]} == {"war", "uar", "f1", "war_sd", "seconds_per_video", "per_subject"}
        assert {*report["methods"][name]["per_subject"]} == {"X", "Y", "Z"}
        assert {"variant", "reset", "prediction"} <= {*report["protocol"]["methods"][name]}
    assert "torch" in report["versions"] and results.to_json_dict("ViT-B-32", versions={})["backbone"] == "ViT-B-32"
    one = run(["clip-au", "personal"], targets[:6], trained).to_json_dict()
    assert one["methods"]["clip-au"]["war_sd"] is None, "one subject has no spread"
    json.dumps(one, allow_nan=False)


def test_csv_round_trip(trained, targets, tmp_path):
    r = run({"clip-au": NoAdaptation(trained), "fragile": Scripted(trained, broken={"Y3"})}, targets)
    r.to_csv(tmp_path / "table.csv")
    back = pd.read_csv(
        tmp_path / "table.csv", dtype={"window_start": "Int64", "window_stop": "Int64"}, float_precision="round_trip"
    )
    back["notes"] = back.notes.fillna("")
    for column in r.table:
        a, b = ([None if pd.isna(x) else x for x in t[column]] for t in (r.table, back))
        assert a == b, column
    again = replace(r, table=back)
    pd.testing.assert_frame_equal(again.summary(), r.summary())
    assert again.warnings == r.warnings
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        r.to_csv(tmp_path / "file" / "table.csv")


# --- units: side by side, kept, interrupted


class Noisy(NoAdaptation):
    "Adds noise from everybody's generators."

    def adapt_many(self, videos):
        return [
            replace(r, logits=r.logits + torch.randn(2) + float(np.random.rand()))  # noqa: NPY002
            for r in super().adapt_many(videos)
        ]


class Recorder(NoAdaptation):
    """Notes in the file $RECORD whom it was asked about. $STOP says at whom it stops, and how.

    It has no settings, so none can change its key.
    """

    def adapt_many(self, videos):
        who, how = os.environ.get("STOP", "-:").split(":")
        if videos[0].subject == who and how == "raise":
            raise KeyboardInterrupt
        if videos[0].subject == who and how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if videos[0].subject == who and how == "ctrl-c":
            os.killpg(0, signal.SIGINT)
        with open(os.environ["RECORD"], "a") as f:
            f.write(videos[0].subject)
        return super().adapt_many(videos)


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setenv("RECORD", str(tmp_path / "log"))
    return tmp_path / "log"


def same(a, b):
    equal(a.table.drop(columns="seconds"), b.table.drop(columns="seconds"))


def test_two_processes_give_the_same_table(results, trained, targets):
    "All methods, bit for bit, random ones too. Methods that never forget are one unit, all others one for each person."
    methods = make_methods([*METHODS], trained) | dict(noisy=Noisy(trained))
    here, there = (run(methods, targets, trained, with_oracle=True, n_jobs=n) for n in (1, 2))
    same(here, there)
    assert here.settings == there.settings
    units = {name: m["unit"] for name, m in here.settings["methods"].items()}
    assert (
        {name for name, unit in units.items() if unit == "all videos"}
        == {n for n, m in methods.items() if getattr(m, "reset_scope", 0) == "never"}
        != set()
    )
    noisy, source = (here.of(n).prob_pain.to_numpy() for n in ("noisy", "clip-au"))
    assert (noisy != source).all()


def test_a_person_gets_the_same_numbers_whoever_else_is_there(trained, targets):
    "Also random ones. What never forgets is the exception."
    make = lambda: {"noisy": Noisy(trained), "tda": make_methods("tda", trained)["tda"]}
    full, alone = run(make(), targets).table, run(make(), [x for x in targets if x.video.subject == "Y"]).table
    own = full[full.subject == "Y"].reset_index(drop=True)
    equal(own.drop(columns="seconds"), alone.drop(columns="seconds"))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("reset", [None, *SCOPES])
def test_every_protocol_side_by_side(trained, targets, order, reset):
    s = Stream(order, reset, seed=3)
    kwargs = dict(stream=s, with_oracle=True)
    make = lambda: make_methods(["tda", "clip-autt-released", "personal"], trained) | dict(scripted=Scripted(trained))
    here = run(make(), targets[:12], trained, **kwargs)
    with parallel_config(
        backend="threading", n_jobs=2
    ):  # packed and handed out, too, but without the start of processes
        same(here, run(make(), targets[:12], trained, **kwargs))
    assert here.table.groupby("method").video.apply(tuple).nunique() == 1, "one order for all"


def test_kept_units_are_not_done_again(trained, targets, tmp_path, log):
    make, kwargs = (
        lambda: {"r": Recorder(trained), "t": ClipAUTT(trained, reset="never")},
        dict(cache_dir=tmp_path / "kept", with_oracle=True),
    )
    first, again = run(make(), targets, trained, **kwargs), run(make(), targets, trained, **kwargs)
    equal(again.table, first.table)
    assert again.settings == first.settings and log.read_text() == "XYZ"
    files = sorted(
        p.relative_to(tmp_path / "kept").as_posix().rpartition("-")[0] for p in (tmp_path / "kept").rglob("*.json")
    )
    assert files == [*(f"oracle/0-{x}" for x in "XYZ"), *(f"r/0-{x}" for x in "XYZ"), "t/0-all-videos"]


CHANGES = dict(
    seed=lambda m, v: (m, v, dict(seed=1)),
    protocol=lambda m, v: (m, v, dict(stream=Stream(predict="before"))),
    label=lambda m, v: (m, [v[0]._replace(label=SWAP[v[0].label]), *v[1:]], {}),
    frame=lambda m, v: (m, [v[0]._replace(video=replace(v[0].video, frames=v[0].video.frames + 1e-6)), *v[1:]], {}),
    order=lambda m, v: (m, [v[1], v[0], *v[2:]], {}),
    weights=lambda m, v: (_nudged(m), v, {}),
)


def _nudged(model):
    other = copy.deepcopy(model, {id(model.backbone): model.backbone})
    other.classifier[2].bias.data += 1e-4
    return other


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_matters_is_computed_anew(trained, targets, tmp_path, log, change):
    run_it = lambda model, videos, **kwargs: run({"r": Recorder(model)}, videos, cache_dir=tmp_path / "kept", **kwargs)
    run_it(trained, targets)
    model, videos, kwargs = CHANGES[change](trained, targets)
    run_it(model, videos, **kwargs)
    assert log.read_text() == "XYZ" + ("X" if change in ("label", "frame", "order") else "XYZ")


def test_all_code_that_decides_counts():
    "Wings that evaluate, units and the methods import are in the key, but for those whose output is in the features."
    root = Path(evaluation.__file__).parents[1]
    wings = {
        "core": root.glob("*.py"),
        **{w: (root / w).glob("*.py") for w in ("series", "words", "personal", "training", "methods", "evaluation")},
    }
    imported = set()
    for wing, files in wings.items():
        for file in files:
            for n in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(n, ast.ImportFrom) and n.level and n.module:
                    inside = n.level == 1 and wing != "core"
                    first = n.module.split(".")[0]
                    imported.add(wing if inside else first if (root / first).is_dir() else "core")
    whole = importlib.import_module("clip_autt.evaluation.units")
    hashed = {a.value for n in ast.walk(ast.parse(Path(whole.__file__).read_text())) if isinstance(n, ast.Call)
              and getattr(n.func, "id", "") == "code_hash" for a in n.args}  # fmt: skip
    assert imported - {"utils", "video", "data", "faces"} == hashed == {*wings}


def test_settings_of_a_method_matter(trained, targets, tmp_path):
    for i, lr in enumerate([0.1, 0.2, 0.1]):
        run({"autt": ClipAUTT(trained, lr=lr)}, targets, cache_dir=tmp_path)
        assert len([*tmp_path.rglob("*.json")]) == [3, 6, 6][i]


def test_a_profile_matters(trained, targets, tmp_path):
    "What a method knows after `reset` is a part of its settings."
    method = ClipAUTT(trained, lr=0.1)
    run({"autt": method}, targets, cache_dir=tmp_path / "rows")
    method.adapt_many([x.video for x in targets[:2]])
    method.save_profile(tmp_path / "p.safetensors")
    method.load_profile(tmp_path / "p.safetensors")
    run({"autt": method}, targets, cache_dir=tmp_path / "rows")
    assert len([*(tmp_path / "rows").rglob("*.json")]) == 6


def test_a_method_that_cannot_be_told_apart_is_refused(trained, targets, tmp_path):
    odd = NoAdaptation(trained)
    odd.lock = threading.Lock()
    with pytest.raises(InputError, match="a lock is not a plain value"):
        run({"odd": odd}, targets, cache_dir=tmp_path)
    assert not [*tmp_path.iterdir()] and len(run({"odd": odd}, targets).table) == len(targets)


def test_used_methods_and_fresh_ones_are_the_same(trained, targets, tmp_path):
    methods = make_methods(["tda", "personal"], trained)
    for m in (methods, methods, make_methods(["tda", "personal"], trained)):
        run(m, targets, cache_dir=tmp_path)
    assert len([*tmp_path.rglob("*.json")]) == 6


def test_a_damaged_file_is_set_aside_and_done_again(trained, targets, tmp_path, log):
    go = lambda: run({"r": Recorder(trained)}, targets, cache_dir=tmp_path / "kept")
    first = go()
    path = next((tmp_path / "kept/r").glob("0-Y-*"))
    path.write_bytes(path.read_bytes()[:-40])
    same(go(), first)
    assert log.read_text() == "XYZY" and path.exists() and path.with_suffix(".damaged").exists()


def test_bad_luck_is_not_kept_and_does_not_stop_others(trained, targets, tmp_path):
    calls = []

    class Unlucky(NoAdaptation):
        def reset(self):  # made ready once, then two people go wrong
            calls.append(self)
            if 1 < len(calls) < 4:
                raise MemoryError("no room")

    methods = {
        "clip-au": NoAdaptation(trained),
        "unlucky": Unlucky(trained),
        "fragile": Scripted(trained, broken={"Y3"}, error=InputError),
    }
    r = run(methods, targets, cache_dir=tmp_path)
    assert (
        r.of("unlucky").error[:12].str.startswith("MemoryError: no room").all()
        and r.of("unlucky").error[12:].isna().all()
    )
    assert r.of("clip-au").error.isna().all() and r.of("fragile").error.notna().sum() == 1
    assert {p.name: len([*p.iterdir()]) for p in tmp_path.iterdir()} == {"clip-au": 3, "unlucky": 1, "fragile": 1}, (
        "a refused input is refused again"
    )


def test_ctrl_c_leaves_the_people_that_are_done(trained, targets, tmp_path, log, monkeypatch):
    state, methods = torch.get_rng_state(), {"clip-au": NoAdaptation(trained), "r": Recorder(trained)}
    monkeypatch.setenv("STOP", "Z:raise")
    with pytest.raises(KeyboardInterrupt) as caught:
        run(methods, targets, cache_dir=tmp_path / "kept")
    partial = caught.value.results
    assert isinstance(caught.value, Interrupted) and partial.settings["complete"] is False
    assert (
        {*partial.table.subject} == {"X", "Y"}
        and partial.settings["n_subjects"] == 2
        and partial.settings["n_videos"] == 12
    )
    json.dumps(partial.to_json_dict(), allow_nan=False)
    assert torch.equal(state, torch.get_rng_state())
    monkeypatch.delenv("STOP")
    full = run(methods, targets, cache_dir=tmp_path / "kept")
    assert log.read_text() == "XYZ" and "complete" not in full.settings
    monkeypatch.setenv("STOP", "X:raise")
    with pytest.raises(KeyboardInterrupt) as caught:
        run({"r": Recorder(trained)}, targets)
    assert caught.value.results is None, "nobody is done"


RUN = """
import sys
from test_evaluate import *
from clip_autt import load_backbone

if __name__ == '__main__':
    torch.set_num_threads(1)
    model = ClipAU(load_backbone('tiny'), classes=CLASSES)
    model.trained = True
    try: r = run({'r': Recorder(model)}, planted('STUVWXYZ'), cache_dir=sys.argv[1], n_jobs=int(sys.argv[2]))
    except Interrupted as e: r = e.results
    print(json.dumps([sorted({*r.table.subject}), r.table.prob_pain.tolist()]))
"""


def in_its_own_process(folder, stop="", n_jobs=1):
    script = folder / "run.py"
    script.write_text(RUN)
    env = os.environ | dict(
        PYTHONPATH=str(Path(__file__).parent), PYTHONWARNINGS="ignore", RECORD=str(folder / "log"), STOP=stop or "-:"
    )
    hear = lambda: signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # a run in the background ignores Ctrl-C, and so would what it starts
    command = [sys.executable, script, folder / "kept", str(n_jobs)]
    return subprocess.run(
        command, env=env, capture_output=True, text=True, start_new_session=True, timeout=300, preexec_fn=hear
    )


def test_kill_minus_9_loses_nothing_and_nothing_is_done_twice(tmp_path):
    killed = in_its_own_process(tmp_path, "W:kill")
    assert killed.returncode == -signal.SIGKILL and not killed.stdout
    assert len([*tmp_path.glob("kept/r/*.json")]) == 4 and (tmp_path / "log").read_text() == "STUV"
    who, probs = json.loads(in_its_own_process(tmp_path).stdout)
    assert (tmp_path / "log").read_text() == "STUVWXYZ" and who == [*"STUVWXYZ"] and len(probs) == 48


def test_ctrl_c_with_processes(tmp_path):
    "As in a terminal, all processes get the signal, wherever they are. What is done stays; the next run does the rest."
    in_its_own_process(tmp_path, "X:ctrl-c", 2)
    done = {p: p.stat().st_mtime_ns for p in tmp_path.glob("kept/r/*.json")}
    assert len(done) < 8
    who, probs = json.loads(in_its_own_process(tmp_path, n_jobs=2).stdout)
    assert who == [*"STUVWXYZ"] and len(probs) == 48
    assert {p: p.stat().st_mtime_ns for p in done} == done, "nothing finished is done twice"
