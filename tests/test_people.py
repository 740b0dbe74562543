"""Somebody in 3-D from a number: a random stream for each property, dials that turn one thing, and `render`."""

from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.random import default_rng

from clip_autt.faces.head import AU_ROW, BANK
from clip_autt.faces.identity import Identity, asymmetry_axes
from clip_autt.faces.lens import Lens, Shot
from clip_autt.faces.light import Light
from clip_autt.faces.muscles import intensities
from clip_autt.faces.people import DomainShift, Subject, render, resting_face, sample_shot
from clip_autt.faces.photo import photograph
from clip_autt.utils.errors import BankError, InputError

N = len(BANK)
ONE_SIDED = [AU_ROW["AU46"], AU_ROW["AU37-wipe"]]
SMILE = intensities({"AU6": 0.6, "AU12": 0.7, "AU25": 0.6})
DIALS = [f.name for f in fields(DomainShift)]
OFF, FAR = DomainShift(*[0.0] * 6), DomainShift(*[10.0] * 6)
LOPSIDED = np.ones((2, N))
LOPSIDED[1, ONE_SIDED] = 0  # a wink and a wipe are of one side
PLAIN = Subject(0, replace(Identity.sample(0), asymmetry=(0.0,) * len(asymmetry_axes())), np.zeros(N), np.ones(N),
                LOPSIDED, np.ones(N))  # fmt: skip
FRONT = Shot(Light(key=(0.0, 0.5, 0.8), fill=(0.0, 0.1, 0.6)))  # light that is the same on both sides


def parts(s: Subject) -> dict[str, np.ndarray]:
    "All that makes somebody, by name."
    who = {f.name: np.array(getattr(s.identity, f.name)) for f in fields(s.identity)}
    return who | {name: getattr(s, name) for name in ("rest", "gain", "sides", "habit")}


def changed(a: Subject, b: Subject) -> set[str]:
    return {name for name, x in parts(a).items() if not np.array_equal(x, parts(b)[name])}


def pictures(person: Subject, shot: Shot, *aus: dict[str, float], size: int = 64) -> list[np.ndarray]:
    return [render(a, person, shot, size=size)[0].astype(float) for a in aus]


# -- who somebody is


def test_a_number_is_always_the_same_person_and_no_other():
    a, again, b = Subject.sample(5), Subject.sample(np.int64(5)), Subject.sample(6)
    assert not changed(a, again) and a.seed == again.seed and a.domain == DomainShift()
    assert changed(a, b) >= {"rest", "gain", "sides", "habit", "shape", "asymmetry", "tone", "age"}
    assert a.id == "s5" and a.tone == a.identity.tone and repr(a).startswith(f"Subject(s5, {a.identity.age:.0f} years")


def test_a_person_is_the_same_everywhere():
    "Numbers that any platform must reproduce."
    s = Subject.sample(123)
    assert (s.identity.age, s.identity.male, s.tone) == (73.0, 0.9068, 0.5785)
    rest = {BANK[int(i)].id: round(float(s.rest[i]), 4) for i in np.flatnonzero(s.rest)}
    assert rest == {"AU10": 0.2402, "AU12": 0.1971, "AU14": 0.1581, "AU41": 0.2124}
    np.testing.assert_allclose(s.gain[:3], [0.82237, 0.79338, 0.61853], atol=1e-4)
    np.testing.assert_allclose(s.sides[:, 0], [0.92516, 1.07484], atol=1e-4)
    np.testing.assert_allclose(s.habit[:3], [0.57035, 0.93788, 0.68586], atol=1e-4)


@pytest.mark.parametrize("dial", DIALS)
def test_a_dial_leaves_all_else_as_it_was(dial):
    own = {"rest": {"rest"}, "expressivity": {"gain", "sides"}, "identity": {"shape", "asymmetry"}}
    a, b = Subject.sample(9), Subject.sample(9, DomainShift(**{dial: 2.0}))
    assert changed(a, b) == own.get(dial, set())


def test_dials_at_zero_leave_the_average_face_at_rest():
    s = Subject.sample(9, OFF)
    assert not s.rest.any() and not any(s.identity.shape) and not any(s.identity.asymmetry)
    both = np.ones(N, bool)
    both[ONE_SIDED] = False
    assert (s.gain == 1).all() and (s.sides[:, both] == 1).all()


def test_a_dial_says_how_far():
    once, twice = (Subject.sample(9, DomainShift(rest=x, identity=x)) for x in (1.0, 2.0))
    np.testing.assert_allclose(twice.rest, 2 * once.rest)
    np.testing.assert_allclose(twice.identity.shape, np.clip(2 * np.array(once.identity.shape), -1, 1))
    assert np.abs(twice.identity.shape).max() <= 1


@pytest.mark.parametrize("domain", [DomainShift(), FAR], ids=["source", "far away"])
def test_properties_stay_within_their_ranges(domain):
    people = [Subject.sample(k, domain) for k in range(60)]
    gain, sides, habit, rest = (np.stack([getattr(s, k) for s in people]) for k in ("gain", "sides", "habit", "rest"))
    assert gain.min() >= 0.15 and gain.max() <= 1.6 and 0 <= habit.min() and habit.max() <= 1
    assert ((rest != 0).sum(1) <= 4).all() and rest.min() >= -0.12 * domain.rest and rest.max() <= 0.3 * domain.rest
    two_sided = np.delete(sides, ONE_SIDED, 2)
    np.testing.assert_allclose(two_sided.sum(1), 2)
    assert two_sided.min() >= 0.6
    for au in ONE_SIDED:
        assert {tuple(s) for s in sides[:, :, au]} == {(0.0, 1.0), (1.0, 0.0)}, "of one side, and of either"


def test_a_resting_face_holds_a_few_action_units():
    rests = np.stack([resting_face(default_rng(k), 1.0) for k in range(200)])
    assert ((rests != 0).sum(1) == 4).all() and (rests < 0).any() and len(np.flatnonzero(rests.any(0))) > 15


def test_skin_tones_cover_the_whole_range_evenly():
    tones = [Subject.sample(k).tone for k in range(600)]
    assert np.histogram(tones, 5, (0, 1))[0].min() > 80


# -- pictures


def test_a_picture_is_a_photograph_of_what_both_halves_do():
    "Intensities times the half's factor, plus the resting face, between 0 and 1; who holds back shows less."
    person, g = Subject.sample(44, DomainShift(rest=6.0, expressivity=4.0)), default_rng(0)
    aus = g.random((3, N)) * (g.random((3, N)) < 0.2)
    assert (person.rest < 0).any() and (aus * person.sides[0] + person.rest > 1).any()
    left, right = (np.minimum(1, np.maximum(0, aus * side + person.rest)) for side in person.sides)
    shot, head = Shot.sample(8), np.array([[10.0, 0, 0], [0, 5, 0], [0, 0, -8]])
    expected = photograph(person.identity, left, right, 40, shot, head, g=default_rng(3))
    assert np.array_equal(render(aus, person, shot, default_rng(3), 40, head), expected)
    swapped = photograph(person.identity, right, left, 40, shot, head, g=default_rng(3))
    assert not np.array_equal(expected, swapped)


def test_names_rows_and_frames_are_the_same_picture():
    row = np.zeros(N)
    row[AU_ROW["AU12"]] = 0.5
    named = render({"AU12": 0.5}, PLAIN)
    assert named.shape == (1, 96, 96, 3) and named.dtype == np.uint8
    assert np.array_equal(named, render(row, PLAIN)) and np.array_equal(named, render(row[None], PLAIN))


def test_without_a_generator_there_is_no_noise():
    shot = Shot(lens=Lens(noise=8.0))
    clean, *noisy = (render({}, PLAIN, shot, g, 32) for g in (None, default_rng(1), default_rng(1), default_rng(2)))
    assert np.array_equal(clean, render({}, PLAIN, size=32)) and np.array_equal(noisy[0], noisy[1])
    assert not np.array_equal(noisy[0], clean) and not np.array_equal(noisy[0], noisy[2])


def test_a_resting_face_shows():
    frowning = replace(PLAIN, rest=intensities({"AU4": 0.5})[0])
    assert np.array_equal(render({}, frowning, size=32), render({"AU4": 0.5}, PLAIN, size=32))
    assert not np.array_equal(render({}, frowning, size=32), render({}, PLAIN, size=32))


def test_every_action_unit_looks_different():
    faces = render(np.eye(N), PLAIN, size=64).astype(float).reshape(N, -1)
    distance = np.abs(faces[:, None] - faces[None]).mean(-1) + 1e3 * np.eye(N)
    closed, blink = AU_ROW["AU43"], AU_ROW["AU45"]
    assert distance[closed, blink] == 0, "a frame cannot tell a blink from closed eyes"
    distance[closed, blink] = distance[blink, closed] = 1e3
    assert distance.min() > 0.1, [BANK.ids[i] for i in np.unravel_index(distance.argmin(), distance.shape)]


@pytest.mark.parametrize("left, right, whites", [("AU51", "AU52", 3), ("AU61", "AU62", -3)])
def test_left_is_the_subject_s_left(left, right, whites):
    "Eyes of a head turned to its left are on the right of its outline; eyes that look there leave white on the left."
    a, b, calm = pictures(PLAIN, FRONT, {left: 1}, {right: 1}, {}, size=96)
    assert np.abs((a - calm) - (b - calm)[:, ::-1]).mean() < 0.4 * np.abs(a - b).mean(), "mirror images"

    def place(f):
        "Of the white of both eyes, from the middle of the head's outline, in pixels to the right."
        rows, columns = np.nonzero(f.min(-1) > 165)
        outline = np.flatnonzero(np.abs(f[int(rows.mean())] - calm[0, 0]).max(-1) > 10)
        return columns.mean() - (outline[0] + outline[-1]) / 2

    assert place(a) * np.sign(whites) > abs(whites) < -place(b) * np.sign(whites) and abs(place(calm)) < 1


@pytest.mark.parametrize("au", ["AU12", "AU46"])
def test_the_left_half_of_a_face_is_on_the_right_of_the_picture(au):
    for side, near, far in ((0, slice(32, 64), slice(0, 32)), (1, slice(0, 32), slice(32, 64))):
        sides = np.zeros((2, N))
        sides[side] = 1
        moved, calm = pictures(replace(PLAIN, sides=sides), FRONT, {au: 1}, {})
        change = np.abs(moved - calm).sum(-1)
        assert change[:, near].sum() > max(500, 2.5 * change[:, far].sum())


def test_expressivity_shows():
    "The same smile moves more pixels of a person who moves more."
    person = Subject.sample(50)

    def moved(factor):
        calm, smiling = pictures(replace(person, sides=factor * person.sides), Shot(), {}, dict(AU6=0.6, AU12=0.7))
        return np.abs(smiling - calm).mean()

    assert moved(1.2) > 1.5 * moved(0.4) > 0


def test_extreme_dials_still_give_a_face():
    person, g = Subject.sample(9, FAR), default_rng(0)
    frames = render(SMILE, person, sample_shot(g, FAR), g, 32)
    assert frames.shape == (1, 32, 32, 3) and frames.std() > 3


# -- cameras


def shots(n: int = 60, **dials: float) -> list[Shot]:
    return [sample_shot(default_rng(k), DomainShift(**dials)) for k in range(n)]


@pytest.mark.parametrize("dial", ["light", "pose", "occlusion"])
def test_a_dial_of_the_camera_leaves_all_else_as_it_was(dial):
    own = {"light": {"light"}, "pose": {"lens"}, "occlusion": {"hand"}}[dial]
    one, far = shots(), shots(**{dial: 5.0})
    differ = {f.name for f in fields(Shot) for a, b in zip(one, far) if getattr(a, f.name) != getattr(b, f.name)}
    assert differ == own
    for a, b in zip(one, far):
        lens = {f.name for f in fields(Lens) if getattr(a.lens, f.name) != getattr(b.lens, f.name)}
        assert lens <= {"zoom", "offset", "roll"}, "noise, blur and the like are no matter of pose"


def test_dials_of_people_leave_the_camera_alone():
    assert shots(5) == shots(5, rest=3.0, expressivity=3.0, identity=3.0)


def test_dials_lead_from_a_portrait_to_a_snapshot():
    (still,) = shots(1, light=0.0, pose=0.0, occlusion=0.0)
    usual = Lens()
    assert still.light == Light() and still.hand is None
    assert (still.lens.zoom, still.lens.offset, still.lens.roll) == (usual.zoom, usual.offset, usual.roll)
    near, far = (shots(light=x, pose=x) for x in (1.0, 3.0))
    roll, power = ([np.std([f(s) for s in row]) for row in (near, far)] for f in (
        lambda s: s.lens.roll, lambda s: s.light.power))  # fmt: skip
    assert roll[1] == pytest.approx(3 * roll[0]) and power[1] > power[0]
    assert min(s.light.power for s in far) > 0 and min(s.lens.zoom for s in far) > 0


def test_hands_come_as_often_as_the_dial_says():
    hands = [[s.hand for s in shots(400, occlusion=dial) if s.hand is not None] for dial in (0.0, 2.0, 10.0)]
    often = [len(row) / 400 for row in hands]
    assert often[0] == 0 and 0.03 < often[1] < 0.14 and 0.3 < often[2] < 0.5
    assert len({*hands[2]}) == len(hands[2]), "each another hand"


# -- what is refused


@pytest.mark.parametrize(
    "call, error, said",
    [
        (lambda: Subject.sample(-1), InputError, "from 0 up, got -1"),
        (lambda: Subject.sample(1.5), InputError, "from 0 up, got 1.5"),
        (lambda: render({"AU99": 1}, PLAIN), BankError, "AU99"),
        (lambda: render({"AU12": 1.5}, PLAIN), InputError, "AU12 has the intensity 1.5"),
        (lambda: render({"AU12": -0.1}, PLAIN), InputError, "AU12 has the intensity -0.1"),
        (lambda: render({"AU12": float("nan")}, PLAIN), InputError, "nan"),
        (lambda: render(np.zeros(46), PLAIN), InputError, r"must be \[T, 47\]"),
        (lambda: render(np.zeros((0, 47)), PLAIN), InputError, "T > 0"),
        (lambda: render({}, PLAIN, size=8), InputError, "size=8"),
        (lambda: DomainShift(light=-1), InputError, "light=-1"),
        (lambda: DomainShift(pose=99), InputError, "pose=99"),
        (lambda: DomainShift(rest=float("nan")), InputError, "rest=nan"),
    ],
)
def test_bad_input_is_one_clear_error(call, error, said):
    with pytest.raises(error, match=said):
        call()
