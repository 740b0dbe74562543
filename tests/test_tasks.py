"""Drawn faces: every action unit moves its own part of the face, more of it the stronger it is, and the same seed gives
the same pixels."""

from dataclasses import replace
from zlib import crc32

import numpy as np
import pytest
from numpy.random import default_rng

from clip_autt.faces.head import BANK, POINT_INDEX, AU_ROW, shaped
from clip_autt.faces.drawing import Appearance
from clip_autt.utils.errors import BankError, InputError
from clip_autt.faces.people import Nuisance, DomainShift, Subject, render
from clip_autt.faces.tasks import (
    SOURCE_SUBJECTS,
    TARGET_DOMAIN,
    TASKS,
    VALIDATION_SUBJECTS,
    make_clip,
    make_clips,
    make_scene,
    stride,
    true_intensities,
)
from clip_autt.video.io import read_video, write_video

N, SIZE = len(BANK), 96
SIDES = np.ones((2, N))
SIDES[1, [AU_ROW["AU46"], AU_ROW["AU37-wipe"]]] = 0  # a wink and a wipe are of one side
PLAIN = Subject(0, 0.4, Appearance(), np.zeros(16), np.zeros(N), np.ones(N), SIDES, np.ones(N))
# where an action unit shows: boxes x0, y0, x1, y1 in inter-ocular distances, on both sides of the midline
BROW, EYE, NOSE, MOUTH, CHEEK = (
    (0, -0.95, 1.1, -0.05),
    (0.1, -0.45, 1.05, 0.35),
    (0, -0.2, 0.6, 0.8),
    (0, 0.55, 0.75, 1.5),
    (0.25, 0.2, 1.15, 1.3),
)
CHIN, JAW, ALL = (0, 0.8, 1.0, 1.95), (0.3, 0.5, 1.3, 1.9), (0, -3, 3, 3)
_WHERE = [
    ("AU1 AU2 AU4 AU44", [BROW, EYE]),
    ("AU5 AU7 AU41 AU42 AU43 AU45 AU46 AU61 AU62 AU63 AU64", [EYE]),
    ("AU6", [EYE, CHEEK]),
    ("AU9", [NOSE, EYE, MOUTH]),
    ("AU38 AU39", [NOSE]),
    ("AU10 AU11 AU12 AU13", [MOUTH, NOSE, CHEEK]),
    ("AU14 AU18 AU22 AU23 AU24 AU25 AU28 AU32 AU37-wipe AU37-lick", [MOUTH]),
    ("AU15 AU16 AU17 AU20 AU19 AU26 AU27 AU29", [MOUTH, CHIN, JAW]),
    ("AU31 AU33", [CHEEK, JAW, MOUTH]),
    ("AU51 AU52 AU53 AU54", [ALL]),
]
WHERE = {au: boxes for aus, boxes in _WHERE for au in aus.split()}


def change(aus, person=PLAIN):
    return np.abs(render(aus, person, size=SIZE)[0].astype(float) - render({}, person, size=SIZE)[0]).sum(-1)


def region(boxes):
    y, x = (np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2) * 2.8 / SIZE
    return np.any(
        [(abs(x) >= x0) & (abs(x) <= x1) & (y + 0.37 >= y0) & (y + 0.37 <= y1) for x0, y0, x1, y1 in boxes], axis=0
    )


@pytest.mark.parametrize("au", BANK.ids)
def test_an_action_unit_changes_its_own_region(au):
    moved, inside = change({au: 1}), region(WHERE[au])
    assert moved.max() > 30, "visible"
    assert moved[inside].sum() > 0.9 * moved.sum(), "nearly all of the change is where it belongs"


@pytest.mark.parametrize("au", BANK.ids)
def test_a_stronger_action_unit_changes_more(au):
    amounts = [change({au: x}).sum() for x in (0, 0.35, 0.7, 1)]
    assert amounts[0] == 0
    assert amounts == sorted(amounts) and amounts[1] > 0, amounts


def test_all_action_units_look_different():
    faces = render(np.eye(N), PLAIN).astype(float).reshape(N, -1)
    distance = np.abs(faces[:, None] - faces[None]).mean(-1) + 1e3 * np.eye(N)
    distance[AU_ROW["AU43"], AU_ROW["AU45"]] = distance[AU_ROW["AU45"], AU_ROW["AU43"]] = (
        1e3  # a frame cannot tell a blink from closed eyes
    )
    assert distance.min() > 0.1, [BANK.ids[i] for i in np.unravel_index(distance.argmin(), distance.shape)]


@pytest.mark.parametrize("left, right", [("AU51", "AU52"), ("AU61", "AU62")])
def test_left_is_the_subjects_left(left, right):
    "A face that looks to its own left looks to the right of the picture, and mirrors one that looks to its right."
    a, b = (
        render({au: 1}, replace(PLAIN, appearance=replace(PLAIN.appearance, hairstyle="bald")), size=SIZE)[0].astype(
            float
        )
        for au in (left, right)
    )
    plain = render({}, replace(PLAIN, appearance=replace(PLAIN.appearance, hairstyle="bald")), size=SIZE)[0].astype(
        float
    )
    assert np.abs(a - b[:, ::-1]).mean() < 0.4 * np.abs(a - b).mean()
    eyes = slice(int(SIZE * 0.3), int(SIZE * 0.42))

    def dark_at(f):
        return np.average(np.arange(SIZE), weights=np.clip(plain[eyes].sum(-1) - f[eyes].sum(-1), 0, None).sum(0))

    assert dark_at(a) > dark_at(b)


def test_a_wink_of_the_left_eye_is_on_the_right_of_the_picture():
    sides = np.stack([np.ones(N), np.zeros(N)])
    moved = change({"AU46": 1}, replace(PLAIN, sides=sides))
    assert moved[:, SIZE // 2 :].sum() > 20 * moved[:, : SIZE // 2].sum()


@pytest.mark.parametrize("task", TASKS)
def test_a_clip_is_the_same_every_time(task):
    a, b = make_clip(task, 5, task, seed=2), make_clip(task, Subject.sample(5), task, seed=2)
    np.testing.assert_array_equal(a.frames, b.frames)
    np.testing.assert_array_equal(a.aus, b.aus)
    assert (make_clip(task, 5, task, seed=3).frames != a.frames).any()
    assert (make_clip(task, 6, task, seed=2).frames != a.frames).any()


def test_the_geometry_is_the_same_everywhere():
    "Numbers that any platform must reproduce; pixels follow from them by integer arithmetic."
    person, clip = Subject.sample(123), make_clip("pain", 123, "pain", seed=1, size=16)
    assert person.appearance.skin == (133, 92, 64) and person.appearance.hairstyle == "short", (
        person.appearance.skin,
        person.appearance.hairstyle,
    )
    np.testing.assert_allclose(shaped(person.shape)[POINT_INDEX["chin"]], [0, 1.64837], atol=1e-4)
    assert crc32(np.round(clip.aus, 3).tobytes()) == crc32(
        np.round(make_clip("pain", 123, "pain", seed=1, size=32).aus, 3).tobytes()
    ), "size changes no action"


def test_global_random_state_is_left_alone():
    np.random.seed(0)  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    make_clip("pain", 1, "pain")
    assert np.random.rand() == expected  # noqa: NPY002


@pytest.mark.parametrize("dial", ["rest", "expressivity", "identity"])
def test_a_dial_turns_one_thing_about_a_person(dial):
    a, b = Subject.sample(9), Subject.sample(9, DomainShift(**{dial: 3}))
    parts = {"rest": "rest", "gain": "expressivity", "shape": "identity"}
    assert a.appearance == b.appearance and (a.habit == b.habit).all()
    for part, of in parts.items():
        assert (getattr(a, part) == getattr(b, part)).all() == (of != dial), part


def test_a_dial_at_zero_is_off():
    s = Subject.sample(9, DomainShift(0, 0, 0, 0, 0, 0))
    assert not s.rest.any() and not s.shape.any() and (s.gain == 1).all()
    n = Nuisance.sample(default_rng(0), DomainShift(0, 0, 0, 0, 0, 0))
    assert (n.light, n.roll, n.scale, n.offset, n.hand) == (0, 0, 0, (0, 0), None)


def test_skin_tones_cover_the_whole_range_evenly():
    tones = np.array([Subject.sample(i).tone for i in range(600)])
    assert np.histogram(tones, 5, (0, 1))[0].min() > 80
    lightness = np.array([sum(Subject.sample(i).appearance.skin) for i in range(600)])
    assert np.corrcoef(tones, lightness)[0, 1] < -0.97


def test_pain_clips_show_more_pain_than_neutral_ones():
    core = [AU_ROW[f"AU{k}"] for k in (4, 6, 7, 9, 10, 43)]

    def score(label):
        return np.mean(
            [make_clip("pain", s, label, i, size=16).aus[:, core].max(0).sum() for s in range(6) for i in range(3)]
        )

    assert score("pain") > 2 * score("neutral")


def test_one_frame_of_ambivalence_says_nothing_but_the_clip_does():
    pleased, displeased = [AU_ROW["AU12"]], [AU_ROW[f"AU{k}"] for k in (4, 10, 15, 17, 24)]

    def both(label):
        truths = [make_clip("ambivalence", s, label, s, 16).aus for s in range(8)]
        return np.mean([min(aus[:, pleased].max(), aus[:, displeased].max()) > 0.25 for aus in truths])

    assert both("ambivalence") > 0.8 and both("neutral") < 0.3


def test_clips_of_a_person_have_both_classes_in_equal_number():
    clips = list(make_clips("pain", [0], n=6, domain=TARGET_DOMAIN, size=16))
    assert sorted(c.label for c in clips) == ["neutral"] * 3 + ["pain"] * 3
    assert len({c.id for c in clips}) == 6
    other = list(make_clips("pain", [0], n=6, domain=TARGET_DOMAIN, seed=1, size=16))
    assert not {c.id for c in clips} & {c.id for c in other}


def test_the_sets_are_of_different_people():
    assert not set(SOURCE_SUBJECTS) & set(VALIDATION_SUBJECTS)
    assert max(*SOURCE_SUBJECTS, *VALIDATION_SUBJECTS) < 100_000


def test_a_clip_survives_being_written(tmp_path):
    clip = make_clip("pain", 3, "pain", size=128)
    back = read_video(write_video(clip, tmp_path / "pain.mp4"))
    assert back.frames.shape == clip.frames.shape
    assert np.abs(back.frames.astype(float) - clip.frames).mean() < 4


def test_parts_of_a_clip_keep_their_truth():
    clip = make_clip("pain", 3, "pain", size=16)
    np.testing.assert_array_equal(clip[10:20].aus, clip.aus[10:20])
    with pytest.raises(InputError, match=r"aus must be \[T, N\]"):
        clip.replace(aus=clip.aus[:5])


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: make_clip("pian", 0, "pain"), InputError, "Did you mean 'pain'"),
        (lambda: make_clip("pain", 0, "Pain"), InputError, "neutral, pain"),
        (lambda: make_clip("pain", -3, "pain"), InputError, "-3"),
        (lambda: render({"AU12": 1.2}, PLAIN), InputError, "AU12 has the intensity 1.2"),
        (lambda: render({"AU12": float("nan")}, PLAIN), InputError, "nan"),
        (lambda: render({"AU99": 1}, PLAIN), BankError, "AU99"),
        (lambda: render({}, PLAIN, size=4), InputError, "size=4"),
        (lambda: DomainShift(pose=99), InputError, "pose=99"),
        (lambda: list(make_clips("pain", [0], n=0)), InputError, "n=0"),
    ],
)
def test_bad_input_is_one_clear_error(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("task", TASKS)
def test_the_truth_of_clips_costs_no_drawing(task):
    clips = list(make_clips(task, [7, 8], 3, TARGET_DOMAIN, seed=4, size=16, every=stride(task)))
    np.testing.assert_allclose(
        true_intensities(task, [7, 8], 3, TARGET_DOMAIN, seed=4), [c.aus.mean(0) for c in clips], atol=1e-7
    )
    person, number = Subject.sample(8, TARGET_DOMAIN), int(clips[-1].id.rsplit("-", 1)[1])
    scene = make_scene(task, person, clips[-1].label, number)
    np.testing.assert_array_equal(scene.aus[:: stride(task)].astype("f4"), clips[-1].aus)
    assert (scene.times[:: stride(task)] == clips[-1].times).all() and scene.head.any()
    with pytest.raises(InputError, match="not one of the classes"):
        make_scene(task, person, "joy")
    with pytest.raises(InputError, match="n=0"):
        true_intensities(task, [7], 0)


def test_the_same_person_and_number_give_the_same_pixels_for_good():
    "Clips embedded once are read from a cache under the names of their arguments, so they must stay as they are."
    clip = make_clip("pain", 3, "pain", seed=7, every=25, domain=TARGET_DOMAIN)
    np.testing.assert_allclose(
        clip.frames.mean((1, 2)),
        [[146.65, 138.59, 130.56], [145.74, 137.14, 129.12], [146.07, 137.24, 129.01]],
        atol=0.05,
    )
