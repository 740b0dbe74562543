"""Studies of action-unit tables through the command line: every call gives a right answer or a sentence that helps."""

import csv
import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from clip_autt.cli.main import app
from clip_autt.data.au_tables import AUTable
from clip_autt.data.readout import write_au_table
from clip_autt.evaluation import cross_validate, trainer_for
from clip_autt.personal import train_table_model
from clip_autt.series import ColumnSpace, load_series, read_study
from clip_autt.utils.errors import InputError

SHARED = Path(__file__).parents[2] / "shared"
STRESSID = SHARED / "data/real/stressid_video11tasks_aus_gaze_mean_std.csv"
LABELS = SHARED / "data/official/stress_source_sub_labels.txt"
CODES = 4, 6, 12, 25


def write_study(root: Path, n_people: int = 6, clips: int = 4, frames: int = 25) -> Path:
    "OpenFace-like tables of made-up people with faces of their own, whose brow lowers in stress; and a manifest."
    rng, lines = np.random.default_rng(0), ["path,subject,label"]
    for p in range(n_people):
        rest = 0.4 + 0.15 * rng.standard_normal(len(CODES))
        for i in range(clips):
            label = ("calm", "stress")[(i + p) % 2]
            x = rest + 0.08 * rng.standard_normal(len(CODES)) + 0.1 * rng.standard_normal((frames, len(CODES)))
            x[:, 0] += 0.2 * (label == "stress")
            name = f"P{p}/P{p}_{i}.csv"
            write_au_table(table(x), root / name)
            lines.append(f"{name},P{p},{label}")
    return manifest(root / "clips.csv", lines)


def table(x) -> AUTable:
    x, n = np.clip(x, 0, 1), len(x)
    sure = np.full(n, 0.97)
    return AUTable(np.arange(n) / 12.5, np.arange(n), x, (x > 0.2).astype(float), CODES, "clip_autt", confidence=sure)


def manifest(path: Path, lines) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    "Read only. `some` writes other manifests of the same tables."
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def model(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "logistic"
    run("train", study, "--out", folder)
    return folder


def some(study: Path, name: str, keep=lambda path, who, label: True, change=lambda path, who, label: label) -> Path:
    "A manifest of some of the clips, or with other labels."
    head, *rows = study.read_text().splitlines()
    rows = [row.split(",") for row in rows]
    lines = [",".join([*row[:2], change(*row)]) for row in rows if keep(*row)]
    return manifest(study.parent / name, [head, *lines])


def altered(root: Path, change, only: str = "P*_*.csv", **size) -> Path:
    "A study whose tables were changed: a function of the data frame of each."
    path = write_study(root, **size)
    for file in sorted(root.rglob(only)):
        change(pd.read_csv(file)).to_csv(file, index=False)
    return path


def call(*words) -> tuple[int, str]:
    "Exit code, and everything that was written. Nothing but a `ClipAUTTError` may end a call."
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # a person does not see where in the code a warning came from
        result = CliRunner().invoke(app, [*map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def run(*words) -> str:
    code, text = call(*words)
    assert code == 0, text
    return text


def refused(*words) -> str:
    "The one sentence with which a call ends."
    code, text = call(*words)
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    assert code == 1 and len(errors) == 1 and "Traceback" not in text, text
    return errors[0]


def folds(path: Path, *words) -> tuple:
    return ("evaluate", "--manifest", path, "--cv", "subjects:2", "--cache-dir", "none", *words)


def rows_of(path: Path, *words, folder: Path) -> pd.DataFrame:
    run(*folds(path, *words, "--csv", folder / "s.csv", "-q"))
    return pd.read_csv(folder / "s.csv")


# kept, and killed


KILLED = """
import os, signal, sys
import clip_autt.evaluation.cross_validation as cv
left, inner = [2], cv.trained_model
def counted(*args):
    done = inner(*args)
    left[0] -= 1
    if left[0] == 0: os.kill(os.getpid(), signal.SIGKILL)
    return done
cv.trained_model = counted
from clip_autt.cli.main import app
app(sys.argv[1:])
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_study_goes_on_and_gives_the_same_numbers(study, tmp_path, monkeypatch):
    "Killed after the training of the second fold of two, before anybody of this fold was tested."
    import clip_autt.evaluation.source_model as source

    once = ["evaluate", "--manifest", str(study), "--cv", "subjects:2", "-q"]
    words = [*once, "--cache-dir", str(tmp_path / "kept"), "--csv", str(tmp_path / "killed.csv")]
    done = subprocess.run([sys.executable, "-c", KILLED, *words], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "killed.csv").exists() and [*(tmp_path / "kept").rglob("head.safetensors")]
    trained, train = [], source.train_table_model
    monkeypatch.setattr(source, "train_table_model", lambda *args: trained.append(1) or train(*args))
    run(*words)
    assert not trained, "the models of both folds were kept"
    run(*once, "--cache-dir", "none", "--csv", tmp_path / "whole.csv")
    killed, whole = (pd.read_csv(tmp_path / f"{name}.csv").drop(columns="seconds") for name in ("killed", "whole"))
    pd.testing.assert_frame_equal(killed, whole, check_exact=True)
    run(*words)
    assert len(trained) == 2, "nothing is trained for the third call"


# one model, used


def test_train_predict_personalize(study, model, tmp_path):
    tables = [study.parent / "P0" / f"P0_{i}.csv" for i in range(4)]
    run("predict", *tables, "--model", model, "--json", tmp_path / "p.json", "--csv", tmp_path / "p.csv")
    plain = json.loads((tmp_path / "p.json").read_text())
    assert [r["label"] for r in plain] == [*pd.read_csv(tmp_path / "p.csv").label]
    text = run("personalize", *tables, "--model", model, "--json", tmp_path / "a.json", "--explain")
    assert "most confident window" not in text, "a summary of a clip has no window"
    own = json.loads((tmp_path / "a.json").read_text())
    for before, after in zip(plain, own, strict=True):
        assert after["probs_before"] == pytest.approx(before["probs"], abs=1e-6)
        for e in after["explanation"].values():
            total = sum(a["contribution"] for a in e["aus"]) + sum(e["not_from_aus"].values())
            assert total == pytest.approx(e["margin"] - e["margin_start"], abs=1e-6)
    assert any(r["probs"] != pytest.approx(r["probs_before"], abs=0.01) for r in own)


def test_several_people_and_their_profiles(study, model, tmp_path):
    people = [study.parent / who for who in ("P0", "P1")]
    words = ("personalize", "--model", model, "-q")
    run(*words, *people, "--subject-from", "folder", "--save-profile", tmp_path / "all", "--csv", tmp_path / "all.csv")
    together = pd.read_csv(tmp_path / "all.csv")
    assert [*together.subject] == ["P0"] * 4 + ["P1"] * 4
    for folder in people:  # a call for each gives the same: nothing of one person reaches the next
        run(*words, folder, "--csv", tmp_path / "one.csv")
        alone, own = pd.read_csv(tmp_path / "one.csv"), together[together.subject == folder.name]
        np.testing.assert_array_equal(alone.prob_stress, own.prob_stress)
    names = sorted(people[0].glob("*.csv"))
    first, last = ("personalize", *names[:2]), ("personalize", *names[2:])
    run(*first, *words[1:], "--save-profile", tmp_path / "p.safetensors")
    run(*last, *words[1:], "--profile", tmp_path / "p.safetensors", "--csv", tmp_path / "later.csv")
    later = pd.read_csv(tmp_path / "later.csv")
    np.testing.assert_array_equal(later.prob_stress, together.prob_stress[2:4], "a profile goes on where it was saved")
    run(*last, *words[1:], "--csv", tmp_path / "fresh.csv")
    assert not np.allclose(pd.read_csv(tmp_path / "fresh.csv").prob_stress, later.prob_stress)
    said = refused(*words, names[0], "--profile", tmp_path / "none.safetensors")
    assert "none.safetensors" in said


def test_a_table_for_films_and_a_film_for_tables(study, model, portrait_mp4):
    one = study.parent / "P0" / "P0_0.csv"
    assert "this model reads films" in refused("predict", one)
    assert "this model reads films" in refused("personalize", one)
    assert "clip-autt aus FILM" in refused("predict", portrait_mp4, "--model", model)
    words = "evaluate", "--manifest", study, "--model", "facs-tiny", "--cache-dir", "none"
    assert "this model reads films" in refused(*words)
    assert "these are tables" in refused("personalize", one, "--model", model, "--video", "x.mp4")
    assert "tent needs CLIP" in refused("personalize", one, "--model", model, "--method", "tent")


def test_a_trained_model_on_people_it_has_not_seen(study, tmp_path):
    rows = study.read_text().splitlines()
    parts = [f"{row},{'test' if row.split(',')[1] in ('P4', 'P5') else 'train'}" for row in rows[1:]]
    split = manifest(study.parent / "split.csv", [rows[0] + ",split", *parts])
    assert "16 clips to train on, 0 to validate on; 8 for testing" in run("train", split, "--out", tmp_path / "m")
    kept = "--cache-dir", "none"
    text = run("evaluate", "--manifest", split, "--model", tmp_path / "m", "--methods", "source,personal", *kept)
    assert "8 of 24 clips are for testing" in text and "nothing was fitted on these people" in text


# how a study may be written down


def long_table(study: Path, path: Path, change=lambda frame, who, label: frame) -> Path:
    parts = []
    for row in study.read_text().splitlines()[1:]:
        name, who, label = row.split(",")
        frame = pd.read_csv(study.parent / name)
        parts.append(change(frame.assign(subject=who, clip=Path(name).stem, label=label), who, label))
    pd.concat(parts).to_csv(path, index=False)
    return path


def test_one_big_table_is_the_same_study(study, tmp_path):
    big = long_table(study, tmp_path / "big.csv")
    one, many = (rows_of(p, folder=tmp_path) for p in (big, study))
    for method in ("source", "personal"):
        own = [t[t.method == method].sort_values("video") for t in (one, many)]
        assert [*own[0].label] == [*own[1].label]
        np.testing.assert_allclose(own[0].prob_stress, own[1].prob_stress, atol=1e-4)
    run("train", big, "--out", tmp_path / "m", "-q")
    assert "complete" in run("datasets", "check", big)


def test_clips_without_a_label_are_left_out_of_a_big_table_and_said(study, tmp_path):
    hide = lambda frame, who, label: frame.assign(label="" if who == "P0" else label)
    big = long_table(study, tmp_path / "big.csv", hide)
    text = run(*folds(big, "--methods", "source"))
    assert all(f"big.csv#P0_{i}: no label" in text for i in range(4)) and "20 clips of 5 people" in text
    nobody = long_table(study, tmp_path / "none.csv", lambda frame, who, label: frame.assign(label=""))
    assert "not one of 24 clips has a label" in refused(*folds(nobody))
    assert "line 2: label is empty" in refused(*folds(some(study, "empty.csv", change=lambda *row: "")))


def test_a_wide_table(study, tmp_path):
    frames = {row.split(",")[0]: row.split(",")[1:] for row in study.read_text().splitlines()[1:]}
    rows = []
    for name, (who, label) in frames.items():
        x = pd.read_csv(study.parent / name).filter(regex="_r$")
        both = {f"mean_{c}": x[c].mean() for c in x} | {f"std_{c}": x[c].std(ddof=0) for c in x}
        rows.append(dict(subject=who, clip=Path(name).stem, label=label, **both))
    pd.DataFrame(rows).to_csv(tmp_path / "wide.csv", index=False)
    wide, long = (rows_of(p, folder=tmp_path).query("method == 'personal'") for p in (tmp_path / "wide.csv", study))
    np.testing.assert_allclose(np.sort(wide.prob_stress), np.sort(long.prob_stress), atol=2e-3)
    said = refused(*folds(tmp_path / "wide.csv", "--table-model", "conv"))
    assert "a convolution over time needs frames, and these are summaries" in said


@pytest.mark.skipif(not (STRESSID.exists() and LABELS.exists()), reason="the published StressID table is not here")
def test_stressid_as_published(tmp_path):
    labels = {Path(line.split()[0]).parent.name: line.split()[1] for line in LABELS.read_text().splitlines()}
    clips = [row["id"] for row in csv.DictReader(STRESSID.open()) if row["id"] in labels]
    lines = [f"{STRESSID},{c.split('_')[0]},{labels[c]},{c},{c.split('_')[1]}" for c in clips]
    path = manifest(tmp_path / "stressid.csv", ["path,subject,label,clip,condition", *lines])
    text = run(*folds(path, "--methods", "source", "--no-personal"))
    assert "467 clips of 43 people" in text and "task-prior" in text and "17 action units" in text
    assert "complete" in run("datasets", "check", path)


# what cannot be used is said


CASES = {
    "one person": (dict(keep=lambda path, who, label: who == "P0"), "1 person (P0): nobody is left to train on"),
    "one class": (dict(keep=lambda path, who, label: label == "calm"), "all 12 clips are 'calm'"),
    "one clip": (dict(keep=lambda path, who, label: path.endswith("_0.csv")), "every person has one clip"),
}


@pytest.mark.parametrize("case", CASES)
def test_too_little_for_a_study(study, case):
    change, message = CASES[case]
    path = some(study, f"{case}.csv", **change)
    assert message in refused(*folds(path))


def test_what_can_be_done_with_little(study, tmp_path):
    one, single = (some(study, f"{c}.csv", **CASES[c][0]) for c in ("one person", "one clip"))
    assert "no personal head was trained: a personal baseline needs" in run("train", one, "--out", tmp_path / "a")
    assert "every person has one clip" in run("train", single, "--out", tmp_path / "b")
    text = run(*folds(single, "--methods", "source"))
    assert "6 clips of 6 people" in text and "\npersonal" not in text
    said = refused("personalize", study.parent / "P0/P0_0.csv", "--model", tmp_path / "a", "--method", "personal")
    assert "no personal head" in said
    one_class = some(study, "one class.csv", **CASES["one class"][0])
    assert "two or more different names, got ['calm']" in refused("train", one_class, "--out", tmp_path / "c")


def test_different_and_missing_action_units(tmp_path):
    drop = lambda frame: frame.drop(columns=["AU12_r", "AU12_c"])
    text = run(*folds(altered(tmp_path / "a", drop, "P0_0.csv")))
    assert "columns that not all 24 tables have are left out: AU12 mean (in 23)" in text and "3 action units" in text
    other = lambda frame: frame[["frame", "timestamp", "confidence", "success"]].assign(AU17_r=1.0)
    path = altered(tmp_path / "b", other, "P0_0.csv")
    said = refused(*folds(path))
    assert "no action unit is in all tables: P0/P0_0.csv has AU17 mean" in said and "one detector" in said
    assert "no action unit is in all tables" in refused("train", path, "--out", tmp_path / "m")
    code, text = call("datasets", "check", path)
    assert code == 1 and "cannot be used" in text and "no action unit is in all tables" in text


def test_a_model_asks_for_all_of_its_columns(study, model, tmp_path):
    frame = pd.read_csv(study.parent / "P0/P0_0.csv").drop(columns=["AU12_r", "AU12_c"])
    frame.to_csv(tmp_path / "t.csv", index=False)
    said = refused("predict", tmp_path / "t.csv", "--model", model)
    assert "no column AU12 mean, AU12 deviation" in said and "same detector" in said


def empty(frame):
    return frame.assign(**{c: np.nan for c in frame if c.startswith("AU")})


def test_tables_without_numbers(tmp_path):
    path = altered(tmp_path / "one", empty, "P0_0.csv")
    text = run(*folds(path))
    assert "1 of 24 clips could not be used: P0/P0_0.csv: not a number in any of 25 frames" in text
    assert "23 clips of 6 people" in text
    report = run("datasets", "check", path)
    assert "can be used, not complete" in report and "P0/P0_0.csv: not a number in any of 25 frames" in report
    path = altered(tmp_path / "all", empty, n_people=3, clips=2)
    assert "6 of 6 clips could not be used" in refused(*folds(path))
    code, report = call("datasets", "check", path)
    assert code == 1 and "not one of 6 tables can be used" in report


def test_a_constant_action_unit(tmp_path):
    text = run(*folds(altered(tmp_path / "one", lambda frame: frame.assign(AU12_r=1.0)), "--methods", "source"))
    assert "the same number in all frames of all 24 clips, so it tells nothing: AU12 mean (0.2)" in text
    still = lambda frame: frame.assign(**{c: 1.0 for c in frame if c.endswith("_r")})
    path = altered(tmp_path / "all", still)
    found = rows_of(path, folder=tmp_path)
    right = found.assign(right=found.predicted == found.label)[found.method == "source"]
    assert right.groupby("label").right.mean().mean() == pytest.approx(0.5)


def test_a_scale_from_0_to_100(tmp_path):
    high = lambda frame: frame.assign(**{c: 20 * frame[c] for c in frame if c.endswith("_r")})
    path = altered(tmp_path, high, n_people=3, clips=2)
    said = refused(*folds(path))
    assert "scale ends at 5. Was the table changed, or scaled to 0..100?" in said
    assert "P0/P0_0.csv: line " in said, "the name of a table once, then the line"
    code, report = call("datasets", "check", path)
    assert code == 1 and "scaled to 0..100" in report


def test_films_among_tables(study, tmp_path):
    (study.parent / "x.mp4").write_bytes(b"no film")
    mixed = manifest(study.parent / "mixed.csv", [*study.read_text().splitlines(), "x.mp4,P0,calm"])
    for words in (folds(mixed), ("train", mixed, "--out", tmp_path / "m")):
        assert "1 of 25 rows name films, such as x.mp4, and the others action-unit tables" in refused(*words)
    code, report = call("datasets", "check", mixed)
    assert code == 1 and "1 of 25 rows name films" in report


# options


@pytest.mark.parametrize("option", ["--crop none", "--backbone facs-tiny", "--store x", "--epochs 3", "--balanced"])
def test_options_about_films_are_refused(study, option):
    said = refused(*folds(study, *option.split()))
    assert said.startswith(f"error: {option.split()[0]}: nothing that a model of action-unit tables has")


def test_options_about_tables_are_refused_for_films(study, tmp_path):
    (study.parent / "x.mp4").write_bytes(b"no film")
    films = manifest(study.parent / "films.csv", ["path,subject,label", "x.mp4,P0,calm"])
    for words in (folds(films), ("train", films, "--out", tmp_path / "m")):
        assert "--table-model: for action-unit tables only" in refused(*words, "--table-model", "conv")
    assert "--crop: nothing that" in refused("train", study, "--out", tmp_path / "m", "--crop", "none")


@pytest.mark.parametrize("method", ["tent", "clip-autt", "clip-au", "zero-shot", "tda", "tent+baseline"])
def test_methods_that_need_clip_say_so(study, method):
    plain = method.removesuffix("+baseline")
    assert f"{plain} needs CLIP: it works on frame embeddings and sentences" in refused(
        *folds(study, "--methods", method)
    )


def test_all_methods_are_those_that_tables_allow(study, tmp_path):
    found = rows_of(study, "--methods", "all", folder=tmp_path)
    assert {*found.method} == {"majority", "source", "personal", "personal-threshold", "oracle"}
    again = rows_of(study, "--oracle", folder=tmp_path)
    assert {*again.method} == {"majority", "source", "personal", "oracle"}
    assert "no methods to evaluate" in refused(*folds(study, "--methods", "oracle"))


@pytest.mark.parametrize("kind", ["network", "conv"])
def test_other_models(study, tmp_path, kind):
    text = run(*folds(study, "--table-model", kind, "--methods", "source", "--no-personal"))
    assert f"{'convolution over time' if kind == 'conv' else 'network and its epoch'}" in text.replace("\n  ", " ")
    run("train", study, "--table-model", kind, "--no-personal", "--out", tmp_path / kind, "-q")
    one = study.parent / "P0/P0_0.csv"
    run("personalize", one, "--model", tmp_path / kind, "--json", tmp_path / "r.json", "-q", "--explain")
    (r,) = json.loads((tmp_path / "r.json").read_text())
    e = r["explanation"]["why"]
    assert sum(a["contribution"] for a in e["aus"]) == pytest.approx(e["margin"] - e["margin_start"], abs=1e-5)
    assert len(r["aus"]) == (4 if kind == "conv" else 8)


def test_a_model_that_does_not_exist(study, tmp_path):
    for words in (folds(study), ("train", study, "--out", tmp_path / "m")):
        said = refused(*words, "--table-model", "logistics")
        assert said.startswith("error: --table-model logistics: there is no such model. Did you mean 'logistic'?")


@pytest.mark.parametrize("order", ["shuffled", "imbalanced", "correlated"])
def test_orders(study, tmp_path, order):
    found = rows_of(study, "--order", order, folder=tmp_path)
    n = found[found.method == "source"].groupby("subject").video.nunique()
    assert len(n) == 6 and (n <= 4).all() and (order == "imbalanced") == bool((n < 4).any())
    usual = rows_of(study, folder=tmp_path)
    key = ["subject", "video"]
    both = [t[t.method == "source"].set_index(key).prob_stress.sort_index() for t in (found, usual)]
    np.testing.assert_array_equal(both[0], both[1].loc[both[0].index], "without a method the order is no matter")


def test_repetitions(study, tmp_path):
    found = rows_of(study, "--repeats", "2", folder=tmp_path)
    own = found[found.method == "personal"]
    assert [*own.seed.unique()] == [0, 1] and len(own) == 48
    once = rows_of(study, folder=tmp_path)
    first = found[(found.seed == 0) & (found.method == "personal")].prob_stress
    np.testing.assert_array_equal(first, once[once.method == "personal"].prob_stress)


# what a stranger found


def test_a_trained_model_meets_tables_that_lack_a_column(study, model, tmp_path):
    "Those that have all columns are scored as ever; the others are named, and take nothing from them."
    rows = study.read_text().splitlines()
    whole, lines = [], [rows[0]]
    for i, row in enumerate(rows[1:]):
        name, rest = row.split(",", 1)
        frame = pd.read_csv(study.parent / name)
        (frame.drop(columns="AU12_r") if i % 2 else frame).to_csv(tmp_path / f"{i}.csv", index=False)
        lines.append(f"{i}.csv,{rest}")
        whole += [] if i % 2 else [f"{i}.csv,{rest}"]
    options = "--model", model, "--cache-dir", "none", "-q", "--csv", tmp_path / "s.csv"
    text = run("evaluate", "--manifest", manifest(tmp_path / "mixed.csv", lines), *options)
    assert "12 of 24 clips could not be used: 1.csv: no column AU12 mean" in text
    mixed = pd.read_csv(tmp_path / "s.csv")
    run("evaluate", "--manifest", manifest(tmp_path / "whole.csv", [rows[0], *whole]), *options)
    pd.testing.assert_frame_equal(*(t.drop(columns="seconds") for t in (mixed, pd.read_csv(tmp_path / "s.csv"))))
    none = manifest(tmp_path / "none.csv", [row for row in lines if row not in whole])
    assert "12 of 12 clips could not be used" in refused("evaluate", "--manifest", none, *options)


def test_settings_that_were_given_are_in_the_protocol(study):
    text = run(*folds(study, "--set", "personal.prior_clips=0"))
    assert "settings given: personal.prior_clips=0" in text
    assert "settings given" not in run(*folds(study))


@pytest.mark.parametrize("words", [("True", "False"), ("TRUE", "FALSE"), ("1", "0")])
def test_success_may_be_written_as_true_and_false(tmp_path, words):
    yes, no = words
    path = altered(tmp_path, lambda t: t.assign(success=[no, no, *[yes] * (len(t) - 2)]))
    series = load_series(read_study(path), progress=False)
    assert {one.video.faces()["n_faces"] for one in series} == {23}


def test_a_wrong_prior_is_an_error_and_a_missing_head_is_said(study):
    series, classes = load_series(read_study(study), summary=True, progress=False), ("calm", "stress")
    for wrong in (-1.0, float("nan")):
        with pytest.raises(InputError, match="prior_clips must be 0 or more"):
            train_table_model(series, classes, prior_clips=wrong)
    with pytest.warns(UserWarning, match="no personal head was trained"):
        assert train_table_model(series[:8], classes).personal is None


def test_one_method_may_be_named_by_a_string(study):
    series = load_series(read_study(study), summary=True, progress=False)
    trainer = trainer_for(ColumnSpace(series[0].video.columns), ("calm", "stress"))
    assert cross_validate(trainer, series, 2, "source", progress=False).results.methods[-1] == "source"


def test_kept_rows_depend_on_the_code_that_reads_tables(study, tmp_path, monkeypatch):
    series, asked = load_series(read_study(study), summary=True, progress=False), []
    trainer = trainer_for(ColumnSpace(series[0].video.columns), ("calm", "stress"))
    monkeypatch.setattr("clip_autt.evaluation.units.code_hash", lambda *wings: asked.append({*wings}) or "x")
    cross_validate(trainer, series, 2, ["source"], cache_dir=tmp_path, progress=False)
    assert asked and all("series" in wings for wings in asked)
