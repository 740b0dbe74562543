"""What people show in pictures: known combinations, nothing impossible, every action unit often enough."""

import numpy as np
import pytest
from numpy.random import default_rng

from clip_autt.au import EMOTIONS, PAIN
from clip_autt.faces.album import (
    ABSENT,
    OPEN,
    SHOWN,
    Album,
    album_page,
    photograph_people,
    resting_intensities,
    seen,
    targets,
    visible,
)
from clip_autt.faces.head import AU_ROW, BANK
from clip_autt.faces.expressions import EXPRESSIONS, VISEMES, possible, random_expression, random_intensities
from clip_autt.utils.errors import InputError

MIRRORED = ("AU51", "AU52", "AU53", "AU54", "AU61", "AU62", "AU63", "AU64")


@pytest.fixture(scope="module")
def many() -> np.ndarray:  # [I, 2, N]
    return np.stack([random_expression(default_rng([k, 2])) for k in range(6000)])


def column(many, au):
    return many.max(1)[:, AU_ROW[au]]


def test_all_names_are_of_the_bank():
    for row in (*EXPRESSIONS.values(), *VISEMES.values()):
        assert row.always and row.share > 0
        assert {*row.always, *row.often} <= {au.id for au in BANK}
        assert not {*row.always} & {*row.often}


def test_what_always_shows_in_a_row_can_show_at_once():
    for name, row in (EXPRESSIONS | VISEMES).items():
        a = np.zeros(len(BANK))
        a[[AU_ROW[au] for au in row.always]] = 0.7
        assert np.array_equal(possible(a), a), name


@pytest.mark.parametrize("codes", [EMOTIONS["happiness"], EMOTIONS["sadness"], (1, 2, 5, 26), PAIN[:2], (4, 9, 43)])
def test_prototypes_have_a_row(codes):
    wanted = {f"AU{code}" for code in codes}
    assert any(wanted <= {*row.always, *row.often} for row in EXPRESSIONS.values())


def test_intensities_are_between_zero_and_one(many):
    assert many.shape[1:] == (2, len(BANK)) and many.min() >= 0 and many.max() <= 1


def test_smiles_show_teeth(many):
    toothy = (column(many, "AU12") >= 0.4) & (column(many, "AU25") >= 0.4)
    assert toothy.mean() >= 0.06


def test_every_action_unit_shows_often_enough_to_be_learned(many):
    often = (many.max(1) >= 0.4).mean(0)
    rare = {au.id: round(float(x), 3) for au, x in zip(BANK, often) if x < 0.014 and au.id != "AU45"}
    assert not rare


def test_some_faces_are_calm_and_most_are_not(many):
    assert 0.03 < (many.max((1, 2)) == 0).mean() < 0.09


def test_pairs_that_exclude_each_other_never_show(many):
    for a, b in (("AU24", "AU25"), ("AU5", "AU43"), ("AU26", "AU27"), ("AU61", "AU62"), ("AU12", "AU18")):
        assert not ((column(many, a) > 0) & (column(many, b) > 0)).any(), (a, b)


def test_the_stronger_one_stays():
    a = np.zeros(len(BANK))
    a[AU_ROW["AU24"]], a[AU_ROW["AU27"]] = 0.8, 0.3
    kept = possible(a)
    assert kept[AU_ROW["AU24"]] == 0.8 and kept[AU_ROW["AU27"]] == 0
    assert a[AU_ROW["AU27"]] == 0.3, "the argument must stay as it was"


def test_halves_differ_a_little_and_winks_are_of_one_side(many):
    left, right = many[:, 0, AU_ROW["AU12"]], many[:, 1, AU_ROW["AU12"]]
    shown = left + right > 0
    assert 0.02 < np.abs(left - right)[shown].mean() < 0.2 and (left != right)[shown].mean() > 0.9
    wink = many[:, :, AU_ROW["AU46"]]
    wink = wink[wink.max(1) > 0]
    assert (wink.min(1) == 0).all() and 0.3 < (wink[:, 0] > 0).mean() < 0.7
    for au in MIRRORED:
        assert np.array_equal(many[:, 0, AU_ROW[au]], many[:, 1, AU_ROW[au]])


def test_lids_are_closed_or_not(many):
    closed = column(many, "AU43")
    assert ((closed == 0) | (closed > 0.7)).all() and (closed > 0).mean() > 0.03


def test_units_are_not_tied_to_each_other(many):
    "Raised cheeks are not a smile, and a smile does not need them."
    cheeks, smile = column(many, "AU6") >= 0.4, column(many, "AU12") >= 0.4
    assert 0.1 < (cheeks & smile).sum() / smile.sum() < 0.8 and 0.1 < (cheeks & ~smile).sum() / cheeks.sum()


def test_a_seed_is_an_expression():
    assert np.array_equal(random_expression(default_rng(5)), random_expression(default_rng(5)))
    assert not np.array_equal(random_intensities(default_rng(5)), random_intensities(default_rng(6)))


def test_resting_faces_are_faint():
    rests = np.stack([resting_intensities(default_rng(k)) for k in range(200)])
    assert rests.min() >= 0 and rests.max() < 0.4 and 1 < (rests > 0).sum(1).mean() <= 4


@pytest.fixture(scope="module")
def album() -> Album:
    return photograph_people(940_000, 8, n=3, size=32)


def test_an_album_goes_person_by_person(album):
    assert len(album) == 24 and album.people.tolist() == [940_000 + i // 3 for i in range(24)]
    assert album.pictures.dtype == np.uint8 and album.pictures.shape == (24, 32, 32, 3)
    assert all(len({*album.tones[i : i + 3].tolist()}) == 1 for i in range(0, 24, 3))


def test_who_else_is_in_the_album_changes_nothing(album):
    page = album_page(940_005, 3, 32)
    for name in ("pictures", "aus", "heads"):
        assert np.array_equal(getattr(page, name), getattr(album, name)[15:18]), name


def test_how_many_processes_photograph_changes_nothing(album):
    again = photograph_people(940_002, 3, n=3, size=32, n_jobs=2)
    for name in ("aus", "heads", "people", "tones"):
        assert np.array_equal(getattr(again, name), getattr(album, name)[6:15]), name
    difference = np.abs(again.pictures.astype(int) - album.pictures[6:15])
    assert difference.max() <= 3 and (difference == 0).mean() > 0.99, "threads add up in another order"


def test_pictures_of_a_person_differ(album):
    first, second = album.pictures[0].astype(int), album.pictures[1].astype(int)
    assert np.abs(first - second).mean() > 4


def test_strong_is_shown_weak_is_open_and_none_is_absent():
    a = np.zeros(len(BANK))
    a[[AU_ROW["AU4"], AU_ROW["AU12"]]] = 0.9, 0.2
    found = visible(a)
    said = {"AU4": SHOWN, "AU12": OPEN, "AU6": OPEN, "AU17": ABSENT}  # AU6 looks like a part of AU12
    assert {au: found[AU_ROW[au]] for au in said} == said
    a[AU_ROW["AU43"]] = 1
    found = visible(a)
    assert found[AU_ROW["AU45"]] == SHOWN and found[AU_ROW["AU61"]] == OPEN, "behind closed lids nobody sees a gaze"


def test_an_album_is_seen_by_the_stronger_half_of_each_face(album):
    a = album.aus.max(1) / 255
    assert np.array_equal(seen(album), np.stack([visible(row) for row in a]))
    wink = AU_ROW["AU46"]
    one_sided = Album(
        album.pictures[:1], np.zeros((1, 2, len(BANK)), np.uint8), album.heads[:1], album.people[:1], album.tones[:1]
    )
    one_sided.aus[0, 1, wink] = 255
    assert seen(one_sided)[0, wink] == SHOWN


def test_targets_say_how_far_and_leave_open_what_cannot_be_seen(album):
    t, a = targets(album), album.aus.max(1) / 255
    no_blink = [au.id != "AU45" for au in BANK]
    assert (t[a > 0.81] == 1).all() and (t[:, no_blink][a[:, no_blink] == 0] <= 0).all()
    faint = (a > 0) & (a < 0.4)
    assert faint.any() and np.allclose(t[faint], a[faint] / 0.8, atol=1e-6)
    assert np.array_equal(t[:, AU_ROW["AU45"]], t[:, AU_ROW["AU43"]])


def test_a_head_turned_by_chance_leaves_the_turns_open(album):
    turned = Album(album.pictures, 0 * album.aus, 0 * album.heads + [[12.0, 0, 0]], album.people, album.tones)
    assert (targets(turned)[:, [AU_ROW["AU51"], AU_ROW["AU54"]]] == OPEN).all()
    assert (targets(turned)[:, AU_ROW["AU12"]] == 0).all()


@pytest.mark.parametrize(
    "first, n_people, n, say",
    [(-1, 2, 4, "from 0"), (999_999, 2, 4, "reserved"), (5, 0, 4, "at least"), (5, 1, 0, "n=0")],
)
def test_numbers_that_cannot_be(first, n_people, n, say):
    with pytest.raises(InputError, match=say):
        photograph_people(first, n_people, n)
