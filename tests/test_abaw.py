"ABAW: scores by hand and against other implementations, files that are refused, curves relative to rest, no peeking."

import string
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr
from sklearn.linear_model import Ridge
from sklearn.metrics import f1_score

from clip_autt import InputError, LabeledVideo, VideoFeatures
from clip_autt.evaluation.abaw import (
    ABAW_AUS,
    ABAW_TASKS,
    NamedRows,
    abaw_facts,
    abaw_score,
    abaw_task,
    blind_scores,
    check_rows,
    in_order,
    join_answers,
    read_annotation,
    read_answers,
    score_file,
    write_answers,
)
from clip_autt.evaluation.au_intensity import (
    au_scores_table,
    best_threshold,
    fit_au_scale,
    mean_of_shown,
    rendered_intensities,
)
from clip_autt.evaluation.continuous import ccc, f1_per_label, mean_pearson, p_va, pearson
from clip_autt.evaluation.metrics import macro_f1
from clip_autt.faces.head import BANK
from clip_autt.faces.tasks import true_intensities
from clip_autt.methods.au_instability import au_series
from clip_autt.personal.baseline import Baseline, population_baseline
from clip_autt.train import zero_shot_au_scores
from clip_autt.training.valence import (
    AFFECT,
    AFFECT_RULE,
    fit_affect,
    fit_personal_affect,
    mean_around,
    rest_views,
    resting_answer,
    shifted_answers,
    valence_arousal,
)

ROOT = Path(__file__).parents[1]
RAMP = np.arange(4.0)
G = np.random.default_rng(0)


def random_rows(task: str, n: int, seed: int = 0) -> np.ndarray:
    "Answers that the task can have."
    g, parts = np.random.default_rng(seed), []
    for part in abaw_task(task).parts:
        if part.metric == "macro F1":
            parts.append(g.integers(len(part.names), size=(n, 1)))
        elif part.metric == "mean F1":
            parts.append(g.integers(2, size=(n, part.width)))
        else:
            parts.append(g.uniform(-1, 1, (n, part.width)))
    return np.hstack(parts).astype(float)


# --- scores of curves and of labels


@pytest.mark.parametrize(
    ("truth", "guess", "expected", "correlation"),
    [
        (RAMP, RAMP, 1, 1),
        (RAMP, RAMP[::-1], -1, -1),
        (RAMP, RAMP + 1, 0.7143, 1),
        (RAMP, 2 * RAMP, 0.5882, 1),
        (np.r_[RAMP, RAMP + 10], np.r_[RAMP, RAMP + 10] + 1, 0.9813, 1),
    ],
)
def test_concordance_by_hand(truth, guess, expected, correlation):
    assert ccc(truth, guess) == pytest.approx(expected, abs=5e-5)
    assert pearson(truth, guess) == pytest.approx(correlation, abs=1e-12)


def test_moments_are_those_of_the_population():
    "Divided by n everywhere. By n - 1 the shifted ramp would have 0.7692, and mixed moments more than 1."
    x, y = G.normal(size=(2, 7))
    c = np.cov(x, y, bias=True)
    by_n = 2 * c[0, 1] / (c[0, 0] + c[1, 1] + (x.mean() - y.mean()) ** 2)
    assert ccc(x, y) == pytest.approx(by_n, rel=1e-12)


def test_correlation_is_that_of_scipy_and_bounds_concordance():
    x, y = G.normal(size=(2, 40, 300)) * G.uniform(0.1, 5, (2, 1, 300)) + G.normal(size=(2, 1, 300))
    theirs = [pearsonr(a, b).statistic for a, b in zip(x.T, y.T)]
    assert np.allclose(pearson(x, y), theirs)
    assert (np.abs(ccc(x, y)) <= np.abs(pearson(x, y)) + 1e-12).all()
    assert np.allclose(ccc(x, y), [ccc(a, b) for a, b in zip(x.T, y.T)])


def test_precision_survives_large_means():
    x, y = G.normal(size=(2, 50))
    assert ccc(x + 1e7, y + 1e7) == pytest.approx(ccc(x, y), abs=1e-6)


@pytest.mark.parametrize("score", [ccc, pearson])
@pytest.mark.parametrize("constant", [0.1, 1.5, -3])
def test_a_constant_scores_nothing_and_is_said(score, constant):
    with pytest.warns(UserWarning, match="guesses: 1 of 1 columns never change"):
        assert score(RAMP, np.full(4, constant)) == 0
    with pytest.warns(UserWarning, match="truth: 1 of 1 columns never change"):
        assert score(np.full(4, constant), RAMP) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score(RAMP, RAMP + 1)


def test_means_over_curves():
    truth, guess = np.stack([RAMP, RAMP], 1), np.stack([RAMP + 1, RAMP[::-1]], 1)
    assert p_va(truth, guess) == pytest.approx((0.714286 - 1) / 2, abs=1e-6)
    assert mean_pearson(truth, guess) == pytest.approx(0, abs=1e-12)


def test_f1_of_each_label():
    truth, guess = G.integers(2, size=(2, 60, 5))
    truth[:, 3] = guess[:, 3] = 0
    assert np.allclose(f1_per_label(truth, guess), f1_score(truth, guess, average=None, zero_division=0))
    assert f1_per_label(truth, guess)[3] == 0
    one_right_one_wrong = f1_per_label([[1, 1], [0, 1]], [[1, 0], [0, 0]])
    assert one_right_one_wrong.tolist() == [1, 0] and one_right_one_wrong.mean() == 0.5


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ccc([1, 2], [1, 2, 3]), "one shape"),
        (lambda: ccc([1, 2], [1, np.nan]), "1 of 2 rows of the guesses"),
        (lambda: pearson([np.inf, 2], [1, 2]), "1 of 2 rows of the truth"),
        (lambda: p_va([[1, 2, 3]], [[1, 2, 3]]), "two columns"),
        (lambda: f1_per_label([[1, 0]], [[0.4, 0.6]]), "Cut probabilities"),
        (lambda: f1_per_label([[1, -1]], [[1, 0]]), "Leave invalid frames out"),
    ],
)
def test_what_cannot_be_scored_says_why(call, words):
    with pytest.raises(InputError, match=words):
        call()


# --- the ten tasks


def test_there_are_ten_tasks_and_the_facts_are_those_published():
    facts = abaw_facts()
    assert len(facts) == len(ABAW_TASKS) == 10
    assert facts.loc["valence-arousal", "baseline"] == 0.20 and facts.loc["ambivalence", "best"] == 0.7266
    assert ABAW_AUS[:4] == ("AU1", "AU2", "AU4", "AU6") and len(ABAW_AUS) == 12
    assert [len(p.names) for p in abaw_task("multi-task").parts] == [2, 8, 12]
    assert sum(10 in task.editions for task in ABAW_TASKS.values()) == 6


@pytest.mark.parametrize("task", ABAW_TASKS)
def test_every_task_scores_writes_and_reads(task, tmp_path):
    truth = random_rows(task, 40)
    names = [f"film/{i:05d}.jpg" for i in range(40)]
    perfect = abaw_score(task, truth, truth)
    assert perfect.total == pytest.approx(len(abaw_task(task).parts))
    guess = random_rows(task, 40, 1)
    assert abaw_score(task, truth, guess).total < perfect.total
    write_answers(tmp_path / "a.txt", task, names, guess)
    back = read_answers(tmp_path / "a.txt", task)
    assert back.names == tuple(names) and np.array_equal(back.values, guess)
    mixed = np.random.default_rng(1).permutation(40)
    write_answers(tmp_path / "b.txt", task, [names[i] for i in mixed], guess[mixed])
    assert score_file(tmp_path / "b.txt", task, NamedRows(tuple(names), truth)) == abaw_score(task, truth, guess)


def test_scores_are_those_of_the_definitions():
    truth, guess = random_rows("multi-task", 200), random_rows("multi-task", 200, 1)
    score = abaw_score("multi-task", truth, guess)
    va = (ccc(truth[:, 0], guess[:, 0]) + ccc(truth[:, 1], guess[:, 1])) / 2
    expressions = f1_score(truth[:, 2], guess[:, 2], labels=range(8), average="macro", zero_division=0)
    aus = f1_score(truth[:, 3:], guess[:, 3:], average="macro", zero_division=0)
    assert [p.score for p in score.parts.values()] == pytest.approx([va, expressions, aus])
    assert score.total == pytest.approx(va + expressions + aus)


def test_absent_classes_count_as_zero():
    right = [0, 0, 1]
    assert macro_f1(right, right, range(3)) == 1
    assert macro_f1(right, right, range(3), strict=True) == pytest.approx(0.6667, abs=1e-4)
    assert abaw_score("expression", right, right).total == pytest.approx(2 / 8)


def test_invalid_frames_go_in_pairs_and_are_counted():
    truth, guess = random_rows("multi-task", 60), random_rows("multi-task", 60, 1)
    marked = truth.copy()
    marked[:5, :2], marked[10, 0], marked[20:23, 2], marked[30, 7] = -5, -5, -1, -1
    score = abaw_score("multi-task", marked, guess)
    assert [p.left_out for p in score.parts.values()] == [6, 3, 1]
    assert [p.n for p in score.parts.values()] == [54, 57, 59]
    keep = np.r_[5:10, 11:60]
    assert score.parts["valence-arousal"].score == pytest.approx(ccc(truth[keep, :2], guess[keep, :2]).mean())
    other = guess.copy()
    other[:5, :2] = 0.9  # what is answered where nothing is known must not matter
    assert abaw_score("multi-task", marked, other).total == score.total
    assert "6 left out" in score.lines()[0]
    with pytest.raises(InputError, match="none of 60 rows has a valid truth"):
        abaw_score("expression", np.full(60, -1), np.zeros(60))


def test_blind_answers_are_those_of_the_counts():
    "318 of 525 public test videos show ambivalence; the published baseline .2827 is 'never'."
    truth = (np.arange(525) < 318).astype(int)
    blind = blind_scores("ambivalence", truth)["A/H"]
    assert blind["always no"] == pytest.approx(0.2828, abs=1e-4)
    assert blind["always yes"] == pytest.approx(0.3772, abs=1e-4)
    aus = random_rows("action-units", 300)
    share = aus.mean(0)
    assert blind_scores("action-units", aus)["action units"]["always"] == pytest.approx(
        (2 * share / (1 + share)).mean()
    )
    assert blind_scores("action-units", aus)["action units"]["never"] == 0


@pytest.mark.parametrize(
    ("task", "rows", "words"),
    [
        ("expression", [0, 8], "8 in row 2 is not a class from 0 to 7"),
        ("expression", [0, 1.5], "1.5 in row 2"),
        ("expression", [0, -1], "-1 in row 2"),
        ("valence-arousal", [[0.1, 1.2]], "1.2 in row 1 is not from -1 to 1"),
        ("valence-arousal", [[0.1, np.nan]], "nan in row 1"),
        ("valence-arousal", [0.1, 0.2], "2 numbers for each frame"),
        ("action-units", [[0.5] * 12], "Cut probabilities"),
        ("mimicry-intensity", [[np.inf] * 6], "inf in row 1"),
        ("violense", [0], "Did you mean 'violence'"),
    ],
)
def test_answers_that_a_task_cannot_have(task, rows, words):
    with pytest.raises(InputError, match=words):
        check_rows(task, rows)


def test_a_truth_may_hold_marks_but_no_nonsense():
    assert check_rows("valence-arousal", [[-5, -5], [0, 1]], truth=True).shape == (2, 2)
    for task, rows in (("valence-arousal", [[-4, 0]]), ("expression", [-5]), ("ambivalence", [-1])):
        with pytest.raises(InputError, match="row 1"):
            check_rows(task, rows, truth=True)


HEADER = "image_location,valence,arousal\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not the header"),
        (HEADER, "a header and no rows"),
        ("valence,arousal\n.1,.2\n", "not the header"),
        (HEADER + "a,.1\n", "line 2: 2 values, but a row of valence-arousal has 3"),
        (HEADER + "a,.1,.2,.3\n", "line 2: 4 values"),
        (HEADER + "a,.1,.2\n\nb,.1,.2\n", "line 3: 1 values"),
        (HEADER + "a,.1,.2\na,.3,.2\n", "a more than once"),
        (HEADER + "a,.1,high\n", "no number"),
        (HEADER + "a,.1,.2\nb,.1,nan\n", "nan in b"),
        (HEADER + "a,-5,-5\n", "-5 in a is not from -1 to 1"),
        (HEADER + ",.1,.2\n", "cannot be the name"),
    ],
)
def test_broken_files_are_refused_with_the_place(text, words, tmp_path):
    path = tmp_path / "x.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as e:
        read_answers(path, "valence-arousal")
    assert str(path) in str(e.value)


def test_missing_and_additional_rows_are_refused(tmp_path):
    truth = NamedRows(("a", "b", "c"), np.array([[0, 0.1], [0.1, 0.2], [0.3, 0.1]]))
    write_answers(tmp_path / "x.txt", "valence-arousal", ["a", "c"], truth.values[[0, 2]])
    with pytest.raises(InputError, match="1 of 3 rows are missing: b"):
        score_file(tmp_path / "x.txt", "valence-arousal", truth)
    with pytest.raises(InputError, match="1 rows were not asked for: c"):
        in_order(truth, ["a", "b"])
    with pytest.raises(InputError, match="no such file"):
        read_answers(tmp_path / "nothing.txt", "valence-arousal")


@pytest.mark.parametrize("names", [["a", "a"], ["a,b", "c"], ["", "c"], [" a", "c"], ["a\nb", "c"]])
def test_names_that_a_file_cannot_hold_write_nothing(names, tmp_path):
    with pytest.raises(InputError, match=r"name of a row|more than once"):
        write_answers(tmp_path / "x.txt", "valence-arousal", names, [[0, 0], [0, 1]])
    assert not (tmp_path / "x.txt").exists()


def test_annotations_name_frames_from_one(tmp_path):
    (tmp_path / "film-1.txt").write_text("valence,arousal\r\n.1,-.2\r\n-5,-5\r\n")
    (tmp_path / "film-2.txt").write_text("Valence,Arousal \n0,1\n")
    both = join_answers([read_annotation(tmp_path / f"film-{i}.txt", "valence-arousal") for i in (1, 2)])
    assert both.names == ("film-1/00001.jpg", "film-1/00002.jpg", "film-2/00001.jpg")
    assert both.values.tolist() == [[0.1, -0.2], [-5, -5], [0, 1]]
    with pytest.raises(InputError, match="more than once"):
        join_answers([both, both])


# --- valence and arousal


def people(names, clips=4, seed=0, frames=20):
    "Videos of made-up people, by person, with two true curves each."
    g, found = torch.Generator().manual_seed(seed), {}
    axes = torch.randn(2, 16, generator=torch.Generator().manual_seed(5)) / 4
    for name in names:
        face, own = 0.8 * torch.randn(2, generator=g) @ axes + 0.2 * torch.randn(16, generator=g), []
        for i in range(clips):
            y = torch.zeros(frames, 2)
            y[5:11] = torch.rand(2, generator=g) * 1.8 - 0.9
            x = face + 2 * y @ axes + 0.1 * torch.randn(frames, 16, generator=g)
            v = VideoFeatures(x, torch.arange(frames) / 12.5, torch.ones(frames, dtype=torch.bool), f"{name}/{i}", name)
            own.append((v, y))
        found[name] = [v for v, _ in own], [y for _, y in own]
    return found


SOURCE, STRANGERS = people([f"s{i}" for i in range(12)], seed=1), people([f"t{i}" for i in range(6)], seed=2)
ALL = [v for own, _ in SOURCE.values() for v in own], [y for _, ys in SOURCE.values() for y in ys]
TYPICAL = population_baseline(AFFECT_RULE.baseline(*(v.frames for v in own)) for own, _ in SOURCE.values())


def test_valence_and_arousal_follow_the_table():
    aus = [au.id for au in BANK]
    assert {*AFFECT} <= {*aus}
    for au, pushes in AFFECT.items():
        assert valence_arousal(np.eye(len(aus))[aus.index(au)], aus) == pytest.approx(np.tanh(pushes))
    x = G.uniform(size=(3, 5, len(aus)))
    assert np.abs(valence_arousal(x, aus)).max() < 1
    assert np.array_equal(valence_arousal(x, aus)[1, 2], valence_arousal(x[1, 2], aus))
    shuffled = G.permutation(len(aus))
    assert np.allclose(valence_arousal(x[..., shuffled], [aus[i] for i in shuffled]), valence_arousal(x, aus))


@pytest.mark.parametrize("seconds", [0, 0.08, 0.1, 0.5, 100])
def test_windows_are_means_of_what_is_near(seconds):
    times = torch.rand(25, generator=torch.Generator().manual_seed(1)).cumsum(0)
    x = torch.randn(25, 3, generator=torch.Generator().manual_seed(2))
    plain = torch.stack([x[(times - t).abs() <= seconds + 1e-6].double().mean(0) for t in times])
    assert torch.allclose(mean_around(x, times, seconds), plain)


def test_the_head_is_ridge_regression():
    head = fit_affect(*ALL, strength=0.1, seconds=0.08)
    x = torch.cat([mean_around(v.frames, v.times, 0.08) for v in ALL[0]]).numpy()
    theirs = Ridge(alpha=0.1 * len(x)).fit((x - x.mean(0)) / x.std(0), torch.cat(ALL[1]).numpy())
    guess = torch.cat([head(v) for v in ALL[0]]).numpy()
    assert np.allclose(guess, theirs.predict((x - x.mean(0)) / x.std(0)), atol=1e-6)
    assert head.n_values == 16 * 2 + 2 and (head.n_frames, head.left_out) == (len(x), 0)


def test_frames_without_face_or_truth_teach_nothing():
    videos, truth = [*ALL[0]], [y.clone() for y in ALL[1]]
    found = torch.arange(20) >= 5
    videos[0], truth[1][:7, 0] = replace(videos[0], found=found), torch.nan
    head = fit_affect(videos, truth)
    assert head.left_out == 5 + 7
    truth[0][:5] = 0.9
    assert torch.equal(fit_affect(videos, truth).weight, head.weight)


def test_a_dimension_that_never_moves_does_no_harm():
    still = lambda v: replace(v, frames=torch.cat([v.frames, torch.ones(len(v), 1)], 1))
    head = fit_affect([still(v) for v in ALL[0]], ALL[1])
    assert head.weight.isfinite().all()
    assert torch.allclose(head(still(ALL[0][3])), fit_affect(*ALL)(ALL[0][3]), atol=1e-6)


def test_nobody_looks_ahead_and_nobody_sees_others():
    own, _ = STRANGERS["t0"]
    personal = fit_personal_affect([v for v, _ in SOURCE.values()], [y for _, y in SOURCE.values()])
    answers = personal(own)
    later = [*own[:2], replace(own[2], frames=own[2].frames + 3), own[3]]
    changed = personal(later)
    assert all(torch.equal(a, b) for a, b in zip(answers[:2], changed[:2]))
    assert not torch.allclose(answers[3], changed[3])
    assert torch.equal(personal(own[:1])[0], answers[0])
    with pytest.raises(InputError, match="videos of 2 people"):
        personal([own[0], STRANGERS["t1"][0][0]])


def test_views_relative_to_rest_are_shifts():
    own, _ = STRANGERS["t1"]
    head, views = fit_affect(*ALL), rest_views(own, TYPICAL)
    for k, (v, view) in enumerate(zip(own, views), 1):
        seen = Baseline.of(*(x.frames for x in own[:k]))
        shift = k / (k + AFFECT_RULE.prior_clips) * (seen.center - TYPICAL.center)
        assert torch.allclose(view.frames, v.frames - shift, atol=1e-5)
        assert torch.allclose(head(view), head(v) - shift.double() @ head.weight, atol=1e-5)


def test_control_videos_are_enough():
    own, _ = STRANGERS["t2"]
    fixed = rest_views(own[2:], TYPICAL, own[:2], learn=False)
    assert torch.allclose(fixed[0].frames - own[2].frames, (fixed[1].frames - own[3].frames), atol=1e-5)
    both = rest_views(own[2:], TYPICAL, own[:2])
    assert torch.allclose(both[1].frames, rest_views(own, TYPICAL)[3].frames, atol=1e-5)
    with pytest.raises(InputError, match="without control videos"):
        rest_views(own, TYPICAL, learn=False)


def test_rest_helps_strangers_who_differ_in_rest():
    "The difference between resting faces is the made-up people's only difficulty."
    personal, plain = (
        fit_personal_affect([v for v, _ in SOURCE.values()], [y for _, y in SOURCE.values()]),
        fit_affect(*ALL),
    )
    truth = torch.cat([y for _, ys in STRANGERS.values() for y in ys]).numpy()
    before = torch.cat([plain(v) for own, _ in STRANGERS.values() for v in own]).numpy()
    after = torch.cat([y for own, _ in STRANGERS.values() for y in personal(own)]).numpy()
    assert p_va(truth, after) > p_va(truth, before) + 0.05


def test_shifted_answers_do_nothing_to_the_typical_person():
    head = fit_affect(*ALL)
    own, _ = STRANGERS["t3"]
    typical = resting_answer(head, own[:1])
    assert torch.allclose(shifted_answers(head, own[1:], own[:1], typical)[0], head(own[1]))
    moved = [replace(v, frames=v.frames + 0.5) for v in own]
    full = shifted_answers(head, moved[1:], moved[:1], typical, prior_clips=0)
    assert torch.allclose(full[0], head(own[1]), atol=1e-5)  # whatever constant lies on a person goes away
    half = shifted_answers(head, moved[1:], moved[:1], typical, prior_clips=1)
    assert torch.allclose(half[0], (head(own[1]) + head(moved[1])) / 2, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fit_affect(ALL[0], ALL[1][:-1]), "48 videos and 47 truths"),
        (lambda: fit_affect(ALL[0][:1], [ALL[1][0] - 5]), "NaN where a mark"),
        (lambda: fit_affect(ALL[0][:1], [ALL[1][0][:4]]), "need a truth"),
        (lambda: fit_affect(ALL[0][:1], [ALL[1][0] * torch.nan]), "fewer than two frames"),
        (lambda: mean_around(torch.zeros(2, 1), torch.tensor([1.0, 0]), 1), "rising order"),
        (lambda: valence_arousal(np.zeros(2), ["AU4"]), "must have one for each"),
    ],
)
def test_what_a_head_cannot_learn_from(call, words):
    with pytest.raises(InputError, match=words):
        call()


# --- action units


def test_the_best_threshold_is_the_best_of_all():
    for seed in range(40):
        g = np.random.default_rng(seed)
        shown = g.random(50) < 0.3
        shown[0] = True
        scores = (g.normal(size=50) + shown).round(1)
        best = max(f1_score(shown, scores >= t) for t in scores)
        assert f1_score(shown, scores >= best_threshold(scores, shown)) == best
    assert best_threshold(scores, np.zeros(50, bool)) == np.inf


def test_order_is_blind_to_what_strength_sees():
    "The same scores, stretched and shifted: AUC and the threshold's F1 stay, raw CCC does not, the line repairs it."
    truth = G.uniform(size=(400, 2)) * (G.random((400, 2)) < 0.5)
    scores = 0.3 * truth + 0.05 * G.normal(size=truth.shape)
    tables = [
        au_scores_table(s, truth, fit_au_scale(s, truth), ["AU4", "AU12"]) for s in (scores, 5 * scores - 2, scores)
    ]
    for name in ("auc", "f1", "pearson", "ccc"):
        assert np.allclose(tables[0][name], tables[1][name])
    assert (tables[1].ccc_raw - tables[0].ccc_raw).abs().min() > 0.1
    least = au_scores_table(scores, truth, fit_au_scale(scores, truth, least_squares=True), ["AU4", "AU12"])
    assert (least.auc == tables[0].auc).all() and (least.f1 == tables[0].f1).all()
    scale = fit_au_scale(scores, truth)
    assert np.allclose(ccc(truth, scores * scale.slope + scale.offset), pearson(truth, scores))
    line = fit_au_scale(scores, truth, least_squares=True)
    assert (ccc(truth, scores * line.slope + line.offset) < pearson(truth, scores)).all()


def test_an_action_unit_nobody_shows_is_never_named():
    truth, scores = np.zeros((50, 2)), G.normal(size=(50, 2))
    truth[:20, 0] = 0.8
    scale = fit_au_scale(scores, truth)
    assert not scale.shown(scores + 100)[:, 1].any() and scale.slope[1] == 0
    table = au_scores_table(scores, truth, scale, ["AU4", "AU12"])
    assert np.isnan(table.auc["AU12"]) and table.ccc["AU12"] == 0
    assert mean_of_shown(table).n == 1 and mean_of_shown(table).auc == table.auc["AU4"]


def test_frame_scores_average_to_those_of_the_video(model):
    v = LabeledVideo(VideoFeatures(torch.randn(9, 64), torch.arange(9.0), torch.ones(9).bool()), "pain")
    assert torch.allclose(
        au_series(model, v.video.frames, "frozen").mean(0), zero_shot_au_scores(model, [v])[0], atol=1e-6
    )


@pytest.mark.parametrize("task", ["pain", "stress", "ambivalence"])
def test_the_truth_of_frames_is_that_of_the_task(task):
    "By the name of a clip the same intensities as those that were filmed, without knowing the order of clips."
    n = {"pain": 38, "stress": 60, "ambivalence": 75}[task]
    means = true_intensities(task, [7, 8], 4)
    clips = []
    for who in (7, 8):
        for i in range(4):
            v = VideoFeatures(
                torch.zeros(n, 2), torch.arange(float(n)), torch.ones(n).bool(), f"{task}-s{who}-{i}", f"s{who}"
            )
            clips.append(v)
    other = "neutral", task
    found = [[rendered_intensities([LabeledVideo(v, label)], task)[0].mean(0) for label in other] for v in clips]
    assert all(min(np.abs(a - m).max() for a in both) < 1e-6 for both, m in zip(found, means))
    with pytest.raises(InputError, match="no clip of the rendered task"):
        rendered_intensities([LabeledVideo(replace(clips[0], id="a film"), other[0])], task)
    with pytest.raises(InputError, match="but its scene has"):
        rendered_intensities([LabeledVideo(replace(clips[0], **cut(clips[0])), other[0])], task)


def cut(v):
    return {k: getattr(v, k)[:-1] for k in ("frames", "times", "found")}


# --- the page


def test_the_template_asks_for_what_is_measured():
    text = (ROOT / "tools/templates/beyond_abaw.md").read_text(encoding="utf-8")
    names = {name for _, name, _, _ in string.Formatter().parse(text) if name}
    code = (ROOT / "tools/beyond_abaw.py").read_text(encoding="utf-8")
    assert names and all(f"{name}=" in code for name in names)


def test_rows_that_are_no_table():
    with pytest.raises(InputError, match="no table of numbers"):
        check_rows("ambivalence", ["yes", "no"])
    with pytest.raises(InputError, match="9 in row 2"):
        check_rows("ambivalence", [1, 9], names=["a"])
    rows = [NamedRows((name,), np.zeros((1, width))) for name, width in (("a", 1), ("b", 2))]
    with pytest.raises(InputError, match="1 and 2 numbers"):
        join_answers(rows)
