"""The study on real people: nobody is in both sides of a fold, chance stays chance, and the page says what was kept."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import real_people  # noqa: E402
import real_people_rows as rows  # noqa: E402
import real_people_study as study  # noqa: E402
from real_people_study import Clips, Method, as_is, cross_validate, relative, so_far, tally, uar  # noqa: E402

from clip_autt.personal.baseline import Baseline, normalize_to_baseline, population_baseline  # noqa: E402

here = pytest.mark.skipif(
    not (real_people.TABLE.is_file() and real_people.LABELS.is_file()), reason="no ../shared/data beside the project"
)


@pytest.fixture(autouse=True)
def one_thread():
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n)


def made_up(people=20, signal=1.5, rest=3.0, seed=0):
    "Eleven clips each: class 1 moves the first number, and people rest at different places of it."
    g = np.random.default_rng(seed)
    who, task = np.repeat(np.arange(people), 11), np.tile(np.array(study.TASKS), people)
    y = np.tile([0, 1], len(who) // 2 + 1)[: len(who)]
    x = g.standard_normal((len(who), 4))
    x[:, 0] += signal * y + rest * g.standard_normal(people)[who]
    columns = tuple(f"{what}_AU{au}_r" for au in ("01", "02") for what in ("mean", "std"))
    return Clips(x, who, task, y, columns)


def score(clips, method, repeats=1):
    return 100 * float(uar(tally(clips, cross_validate(clips, method, repeats).z).sum(0)))


RAW = Method(lambda c, r: as_is(c))


def test_the_classifier_is_that_of_sklearn():
    g = np.random.default_rng(0)
    x, y = g.standard_normal((150, 6)), (g.random(150) < 0.3).astype(int)
    x[:, 0] += y
    for w, c in zip(study.fit_logistic(x, y, (0.01, 1.0)), (0.01, 1.0)):
        m = LogisticRegression(C=c, class_weight="balanced", tol=1e-10, max_iter=1000).fit(x, y)
        np.testing.assert_allclose(w, [*m.coef_[0], m.intercept_[0]], atol=1e-4)


def test_folds_hold_every_person_once():
    folds = study.deal(np.arange(43), 10, 0)
    assert sorted(np.concatenate(folds)) == [*range(43)]


def test_nothing_is_learned_from_the_person_who_is_tested(monkeypatch):
    "Whoever is asked has no clip among those that are fitted; the choice inside knows none of the held-out people."
    clips, asked = made_up(), []
    real = study.margins

    def spy(view, y, fit, ask, costs, start=None):
        assert not {*clips.who[fit]} & {*clips.who[ask]}, "a person on both sides"
        asked.append(({*clips.who[fit]} | {*clips.who[ask]}, len(costs)))
        return real(view, y, fit, ask, costs, start)

    monkeypatch.setattr(study, "margins", spy)
    cross_validate(clips, Method(rows.in_order(), (0.0, 2.0), threshold=True), 1)
    per_fold = study.INNER * 2 + 1
    assert len(asked) == study.FOLDS * per_fold
    for f, fold in enumerate(study.deal(np.arange(clips.n_people), study.FOLDS, 0)):
        inner = asked[f * per_fold : (f + 1) * per_fold - 1]
        assert all(not people & {*fold} for people, _ in inner)


@pytest.mark.parametrize("name", [n for n in rows.METHODS if n != rows.ALL_CLIPS])
def test_labels_and_later_clips_of_the_tested_person_change_nothing(name):
    "With other labels of the held-out people, and other numbers in their last clip, earlier answers are the same."
    clips, method = made_up(), rows.METHODS[name]
    if "shuffled" in name or "another" in name:
        later = np.zeros(len(clips.y), bool)  # others' clips and orders are theirs
    else:
        later = clips.task == study.TASKS[-1]
    one = cross_validate(clips, method, 1)
    fold = study.deal(np.arange(clips.n_people), study.FOLDS, 0)[0]
    mine = np.isin(clips.who, fold)
    changed = replace(clips, y=np.where(mine, 1 - clips.y, clips.y), x=np.where((mine & later)[:, None], 9.0, clips.x))
    two = cross_validate(changed, method, 1)
    np.testing.assert_allclose(one.z[0, mine & ~later], two.z[0, mine & ~later], atol=1e-6)


def test_a_view_is_what_the_library_does():
    clips = made_up(6)
    train = np.arange(6) > 0
    for prior in (0.0, 2.5, float("inf")):
        found = relative(clips, so_far(clips, study.recorded(clips)))(train, prior)
        people = [Baseline.of(*torch.tensor(clips.x[clips.who == p])[:, None]) for p in range(6)]
        typical = population_baseline(replace(p, spread=torch.ones(4)) for p in people[1:])
        own = torch.tensor(clips.x[clips.who == 0])
        for k in range(11):
            so = replace(Baseline.of(*own[: k + 1, None]), spread=torch.ones(4))
            expected = normalize_to_baseline(own[k : k + 1], so, typical, 0.0, prior)[0]
            np.testing.assert_allclose(found[clips.who == 0][k], expected, atol=1e-12)


def test_a_baseline_helps_where_people_rest_at_different_places_and_a_strange_one_does_not():
    clips = made_up(24, rest=5.0)
    plain, all_clips = score(clips, RAW), score(clips, rows.METHODS[rows.ALL_CLIPS])
    strange = Method(rows.in_order(), (0.0,), rows.of_another)
    running = score(clips, Method(rows.in_order()))
    assert all_clips > plain + 10 and running > plain + 3
    assert score(clips, strange) < running - 3


def test_permuted_labels_are_at_chance():
    clips = made_up(30)
    found = []
    for seed in range(4):
        y = np.random.default_rng(seed).permutation(clips.y)
        found.append(score(replace(clips, y=y), Method(rows.in_order(), (0.0, 2.0))))
    assert abs(np.mean(found) - 50) < 5, found


def test_the_interval_is_paired_and_over_people():
    clips = made_up()
    t = tally(clips, np.where(clips.y == 1, 1.0, -1.0)[None])
    assert study.gain(t, t) == (0, 0, 0) and float(uar(t.sum(0))) == 1
    worse = t.copy()
    worse[:, 1, 0] /= 2
    g = study.gain(t, worse)
    assert g.points == pytest.approx(25) and g.low == pytest.approx(25) and g.high == pytest.approx(25)
    worse = t.copy()
    worse[:5, 1, 0] = 0
    assert study.gain(t, worse).low < study.gain(t, worse).points < study.gain(t, worse).high
    assert study.winners(t, worse) == (5, 0)


def test_the_most_frequent_label_of_the_task_looks_at_no_face():
    clips = made_up()
    a, b = (study.task_prior(c, 1).z for c in (clips, replace(clips, x=0 * clips.x)))
    assert np.array_equal(a, b)


@here
def test_the_table_is_what_the_page_says():
    report, stressor = (rows.question(real_people.TABLE, real_people.LABELS, q) for q in [*rows.QUESTIONS][:2])
    assert (report.n_people, report.known.sum(), stressor.n_people) == (43, 467, 55)
    spoken = rows.question(real_people.TABLE, real_people.LABELS, real_people.SPOKEN)
    assert {*spoken.task[spoken.known]} == {*rows.SPOKEN} and len(spoken.y) == len(report.y)


@here
def test_real_labels_permuted_are_at_chance_and_real_ones_are_not():
    clips = rows.question(real_people.TABLE, real_people.LABELS, real_people.STRESSOR)
    mixed = replace(clips, y=np.random.default_rng(1).permutation(clips.y))
    assert score(clips, RAW) > 75 and abs(score(mixed, RAW) - 50) < 6


@here
def test_the_pages_numbers_come_from_the_kept_files(tmp_path, monkeypatch, capsys):
    "A fast version of the whole; then one kept number is changed, and the page with it."
    for name, few in dict(COSTS=(0.03,), PRIORS=(0.0, 4.0), INNER=2, FOLDS=4).items():
        monkeypatch.setattr(study, name, few)
    monkeypatch.setattr(rows, "METHODS", {n: replace(m, priors=m.priors[:2]) for n, m in rows.METHODS.items()})
    args = ["--repeats", "1", "--build", str(tmp_path / "kept"), "--page", str(tmp_path / "real_people.md")]
    args += ["--wheel", str(tmp_path / "nowhere")]
    real_people.main(args)
    page = (tmp_path / "real_people.md").read_text(encoding="utf-8")
    assert real_people.NO_FILMS in page and "{" not in page and "nan" not in page
    (path,) = (tmp_path / "kept").glob("*-stressor_or_rest.json")
    facts = json.loads(path.read_text())
    facts["rows"]["raw"]["uar"] = 12.34
    facts["rows"][real_people.ON_TOP]["against usual"] = [7.7, 6.6, 8.8]
    path.write_text(json.dumps(facts))
    real_people.main(args)
    changed = (tmp_path / "real_people.md").read_text(encoding="utf-8")
    assert "| raw | 12.3 |" in changed and "| raw | 12.3 |" not in page
    assert "7.7 [6.6, 8.8]" in changed and changed.count("It earns its place") == 1


def test_an_absent_table_is_said(tmp_path, capsys):
    page = tmp_path / "page.md"
    real_people.main(["--table", str(tmp_path / "no.csv"), "--page", str(page)])
    assert "skipped, there is no" in capsys.readouterr().out and not page.exists()


@here
def test_a_table_of_something_else_is_refused(tmp_path):
    text = real_people.TABLE.read_text().replace("Breathing", "Jumping")
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(SystemExit, match="Jumping"):
        study.read_clips(tmp_path / "t.csv")


def test_the_section_of_films_shows_numbers_and_no_face(tmp_path):
    codes = [*real_people.SHOWN]
    calm, other = [0.0] * len(codes), [1.0] * len(codes)
    calm[codes.index(4)] = 4.4
    film = dict(codes=codes, frames=90, seen=1.0, calm=calm, other=[dict(typical=other, own=other)])
    text = real_people.calm_faces({"01": film, "02": film | dict(calm=other)}, tmp_path / "p.svg")
    assert "AU4 (brow lowerer) at 4.4" in text and "nothing" in text
    drawn = (tmp_path / "p.svg").read_text(encoding="utf-8")
    assert "<image" not in drawn and len(drawn) < 120_000


QUOTED = {
    "raw action units": "raw",
    "most frequent label of the task": "most frequent label of the task",
    "shrunk baseline, a k for each number measured": "shrunk, a k for each number measured",
}


def cells(text, first):
    "The cells behind the first one in the only row that begins with it."
    (line,) = [x for x in text.splitlines() if x.startswith(f"| {first} |")]
    return [c.strip() for c in line.strip("|").split("|")][1:]


@pytest.mark.parametrize("shown", QUOTED)
def test_the_front_page_quotes_the_page(shown):
    front, page = ((ROOT / p).read_text(encoding="utf-8") for p in ("README.md", "docs/real_people.md"))
    for quoted, section in zip(cells(front, shown), ("Self-report", "Stressor or rest"), strict=True):
        part = page.split(f"\n## {section}\n")[1].split("\n## ")[0]
        assert quoted == ", ".join(filter(None, cells(part, QUOTED[shown])[:2]))
