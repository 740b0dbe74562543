"""Scores, the embedded benchmark and its command: tables that can be trusted, and files that others read."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from typer.testing import CliRunner

import clip_autt.evaluation.embedded
from clip_autt.evaluation.embedded import benchmark, benchmark_json, benchmark_text, evaluate_people, over_tasks
from clip_autt.cli.main import app
from clip_autt.cli.options import method_names
from clip_autt.utils.errors import InputError
from clip_autt.evaluation.metrics import macro_f1, uar, war
from clip_autt.methods.registry import METHODS
from clip_autt.evaluation.results import Results, concat_results
from clip_autt.evaluation.stream import Stream

SMALL = dict(n_subjects=2, per_person=4)


@pytest.fixture(scope="module")
def runs():
    return benchmark(
        ["pain", "stress"],
        [22_000, 22_010],
        ["clip-au", "tda", "personal"],
        n_jobs=1,
        progress=False,
        with_oracle=True,
        memory=True,
        **SMALL,
    )


def test_every_number_of_the_summary_follows_from_the_table(runs):
    r = runs["pain"]
    assert len(r.table) == 4 * 2 * 2 * 4 and r.settings["seeds"] == [22_000, 22_010]
    s = r.summary()
    for name in r.methods:
        own = [t for _, t in r.of(name).groupby(["seed", "subject"])]
        for column, score in (
            ("war", war),
            ("uar", lambda y, p: uar(y, p, r.classes)),
            ("f1", lambda y, p: macro_f1(y, p, r.classes)),
        ):
            assert s.at[name, column] == pytest.approx(np.mean([score(t.label, t.predicted) for t in own]))
    gains = [war(t.label, t.predicted) for _, t in r.of("personal").groupby(["seed", "subject"])]
    base = [war(t.label, t.predicted) for _, t in r.of("clip-au").groupby(["seed", "subject"])]
    assert s.difference["personal"] == pytest.approx(np.mean(np.subtract(gains, base)))
    assert s.low["personal"] <= s.difference["personal"] <= s.high["personal"]


def test_costs_gates_and_histogram(runs):
    c, g, h = runs["pain"].cost(), runs["pain"].gates(), runs["pain"].histogram()
    assert (
        c.n_trained["clip-au"] == 0 < c.n_trained["personal"]
        and (c.loc[["clip-au", "tda", "personal"]].peak_mb > 0).all()
    )
    assert "tda" in g.index and g.loc["tda"].dropna().between(0, 1).all() and "clip-au" not in g.index
    np.testing.assert_allclose(h.sum(axis=1), 1)
    assert h.loc["true"].tolist() == [0.5, 0.5]


def test_a_unit_alone_equals_the_unit_among_others(runs):
    alone = evaluate_people("stress", 22_010, ["tda"], **SMALL).of("tda")
    among = runs["stress"].of("tda").query("seed == 22010")
    np.testing.assert_array_equal(alone.prob_stress, among.prob_stress)


def test_processes_change_no_number(runs):
    again = benchmark(
        ["pain", "stress"], [22_000, 22_010], ["clip-au", "tda", "personal"], n_jobs=2, progress=False, **SMALL
    )
    for task in runs:
        a, b = (r[task].table.query("method != 'oracle'") for r in (runs, again))
        pd.testing.assert_frame_equal(
            a.drop(columns="seconds").reset_index(drop=True), b[a.columns.drop("seconds")].reset_index(drop=True)
        )


def test_means_over_tasks(runs):
    t = over_tasks(runs)
    wars = [r.summary().war for r in runs.values()]
    assert t.war["tda"] == pytest.approx(np.mean([w["tda"] for w in wars]))
    gap = np.mean([w["oracle"] - w["clip-au"] for w in wars])
    assert t.gap_closed["personal"] == pytest.approx(np.mean([w["personal"] - w["clip-au"] for w in wars]) / gap)


def test_json(runs):
    report = benchmark_json(runs)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert (
        report["complete"]
        and [*report["tasks"]] == ["pain", "stress"]
        and {*report["mean"]} == {"clip-au", "tda", "personal", "oracle"}
    )
    one = report["tasks"]["pain"]
    assert {*one["methods"]["tda"]} == {"war", "uar", "f1", "war_sd", "seconds_per_video", "per_subject"}
    assert (
        one["protocol"]["gain_over_clip_au"]["clip-au"]["difference"] is None
        and len(one["methods"]["tda"]["per_subject"]) == 4
    )
    assert benchmark_json({"pain": runs["pain"]}) == one


def test_latex_and_text(runs):
    latex = runs["pain"].to_latex()
    assert latex.count("\\\\") == 5 and "\\toprule" in latex and "personal &" in latex
    text = benchmark_text(runs)
    assert "mean of pain, stress" in text and text.count("rendered faces") == 2


def test_what_is_done_is_handed_on(monkeypatch):
    seen = []
    benchmark(
        ["pain", "stress"],
        [22_000],
        ["clip-au"],
        progress=False,
        on_result=lambda done: seen.append([*done]),
        **SMALL,
    )
    assert seen == [["pain"], ["pain", "stress"]]


def test_there_is_one_process_unless_joblib_or_the_call_says_more(monkeypatch):
    asked = []

    def configured(*args, n_jobs, **kwargs):
        asked.append(n_jobs)
        return parallel_config(*args, n_jobs=1, **kwargs)

    monkeypatch.setattr("clip_autt.evaluation.embedded.parallel_config", configured)
    run = lambda **kwargs: benchmark(["pain", "stress"], [22_000], ["clip-au"], progress=False, **SMALL, **kwargs)
    run()
    run(n_jobs=2)
    with parallel_config(n_jobs=3):
        run()
    assert asked == [1, 2, 3]


@pytest.mark.parametrize(
    "kwargs, message",
    [
        (dict(seeds=[0, 5]), "share people"),
        (dict(methods=["tdaa"]), "Did you mean 'tda'"),
        (dict(tasks=["pian"]), "Did you mean 'pain'"),
        (dict(tasks=[]), "at least one task"),
    ],
)
def test_refused_before_anything_is_rendered(kwargs, message, monkeypatch):
    monkeypatch.setattr(
        "clip_autt.evaluation.embedded.kept_target_videos", lambda *a, **k: pytest.fail("rendered faces")
    )
    with pytest.raises(InputError, match=message):
        benchmark(**{"tasks": ["pain"], "seeds": [0], "methods": ["clip-au"], "progress": False, **kwargs})


def test_combining_refuses_what_does_not_belong_together(runs):
    with pytest.raises(InputError, match="seed of its own"):
        concat_results([runs["pain"], runs["pain"]])
    other = Results(runs["pain"].of("tda"), runs["pain"].classes, runs["pain"].settings)
    with pytest.raises(InputError, match="other classes or methods"):
        concat_results([runs["pain"], other])


def test_names():
    assert method_names("all") == ([*METHODS], True)
    assert method_names("tda, personal", baseline=True) == (["tda", "personal", "tda+baseline"], False)


@pytest.fixture
def few_clips(monkeypatch):
    "People who make twelve clips each, in place of twenty."
    real = clip_autt.evaluation.embedded.kept_target_videos
    short = lambda *args, **kwargs: real(*args, **{**kwargs, "n": 12})
    monkeypatch.setattr("clip_autt.evaluation.embedded.kept_target_videos", short)


def test_the_command(tmp_path, few_clips):
    call = [
        "evaluate",
        "--task",
        "all",
        "--methods",
        "clip-au,personal,oracle",
        "--subjects",
        "2",
        "--order",
        "imbalanced",
        "--jobs",
        "1",
    ]
    result = CliRunner().invoke(app, [*call, "--json", str(tmp_path / "r.json"), "--csv", str(tmp_path / "r.csv")])
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["task"] == "all" and report["tasks"]["stress"]["n_videos"] == 2 * (6 + 1)
    assert "80% of the videos of one class" in report["tasks"]["pain"]["protocol"]["order"]
    table = pd.read_csv(tmp_path / "r.csv")
    assert {*table.task} == {"pain", "stress", "ambivalence"} and {*table.method} == {"clip-au", "personal", "oracle"}


WRONG = [
    ("--order", "sorted", "order must be"),
    ("--seeds", "0", "1 or more"),
    ("--reset", "day", "reset must be"),
    ("--predict", "never", "predict must be"),
]


@pytest.mark.parametrize("option, value, message", WRONG)
def test_wrong_options_cost_one_line(option, value, message):
    result = CliRunner().invoke(app, ["evaluate", "--methods", "clip-au", option, value])
    assert result.exit_code == 1 and message in result.output and "Traceback" not in result.output


def test_before_and_after_are_both_there():
    r = evaluate_people("pain", 22_000, ["personal"], stream=Stream(predict="before"), **SMALL)
    own = r.of("personal")
    assert (own.predicted == own.before).all() and (own.before != own.after).any()
    assert math.isclose(r.summary().war["personal"], r.summary().war_before["personal"])
