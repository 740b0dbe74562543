"""Clips of three tasks: the same numbers give the same pixels, labels tell what a face does, and the truth is known."""

from zlib import crc32

import numpy as np
import pytest

from clip_autt.faces import tasks as task_module
from clip_autt.faces.head import AU_ROW
from clip_autt.faces.people import DomainShift, Subject
from clip_autt.faces.tasks import (
    SOURCE_DOMAIN,
    SOURCE_SUBJECTS,
    TARGET_DOMAIN,
    TASKS,
    VALIDATION_SUBJECTS,
    film_person,
    make_clip,
    make_clips,
    make_scene,
    stride,
    true_intensities,
)
from clip_autt.utils.errors import InputError
from clip_autt.video.io import read_video, write_video


def scenes(task: str, label: str, n: int = 5) -> list[np.ndarray]:
    "Intensities [T, N] of n scenes of each of twelve people."
    return [make_scene(task, Subject.sample(p), label, i).aus for p in range(12) for i in range(n)]


@pytest.mark.parametrize("task", TASKS)
def test_a_clip_is_the_same_every_time(task):
    small = dict(size=32, every=10)
    a, b = make_clip(task, 5, task, seed=2, **small), make_clip(task, Subject.sample(5), task, seed=2, **small)
    np.testing.assert_array_equal(a.frames, b.frames)
    np.testing.assert_array_equal(a.aus, b.aus)
    assert (a.id, a.subject, a.label) == (f"{task}-s5-2", "s5", task)
    assert (make_clip(task, 5, task, seed=3, **small).frames != a.frames).any()
    assert (make_clip(task, 6, task, seed=2, **small).frames != a.frames).any()


def test_size_and_step_change_no_action():
    clip = make_clip("pain", 123, "pain", seed=1, size=16)
    assert make_clip("pain", 123, "pain", every=75).frames.shape == (1, 96, 96, 3), "as large as the model reads"
    larger = make_clip("pain", 123, "pain", seed=1, size=32, every=5)
    assert crc32(np.round(clip.aus[::5], 3).tobytes()) == crc32(np.round(larger.aus, 3).tobytes())
    assert np.array_equal(clip.times[::5], larger.times)


def test_global_random_state_is_left_alone():
    np.random.seed(0)  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    make_clip("pain", 1, "pain", size=32, every=25)
    assert np.random.rand() == expected  # noqa: NPY002


def test_a_domain_is_of_the_person_and_of_the_camera():
    small = dict(seed=1, size=32, every=25)
    whole = make_clip("pain", 3, "pain", domain=TARGET_DOMAIN, **small)
    stranger = Subject.sample(3, TARGET_DOMAIN)
    assert np.array_equal(make_clip("pain", stranger, "pain", **small).frames, whole.frames)
    camera = make_clip("pain", stranger, "pain", domain=SOURCE_DOMAIN, **small)
    assert np.array_equal(camera.aus, whole.aus) and not np.array_equal(camera.frames, whole.frames)
    (again,) = (c for c in make_clips("pain", [3], 2, TARGET_DOMAIN, size=32, every=25) if c.id.endswith("-1"))
    assert np.array_equal(again.frames, make_clip("pain", stranger, again.label, **small).frames)


def test_who_moves_more_shows_more():
    "The same scene, as people of other expressivity show it."
    plain, lively = (Subject.sample(4, DomainShift(expressivity=x)) for x in (0.0, 2.0))
    a, b = (make_scene("pain", person, "pain", 7).aus for person in (plain, lively))
    np.testing.assert_allclose(b, np.clip(a * lively.gain, 0, 1))
    assert not np.array_equal(a, b)


def test_pain_clips_show_more_pain_than_neutral_ones():
    core = [AU_ROW[f"AU{k}"] for k in (4, 6, 7, 9, 10, 43)]
    score = lambda label: np.mean([a[:, core].max(0).sum() for a in scenes("pain", label)])
    assert score("pain") > 3 * score("neutral")


def test_stressed_faces_are_tense_more_often():
    tense = [AU_ROW[f"AU{k}"] for k in (1, 2, 5, 15, 17, 20, 23, 24)]
    score = lambda label: np.mean([a[:, tense].mean() for a in scenes("stress", label)])
    assert score("stress") > 2 * score("neutral")


def test_one_frame_of_ambivalence_says_nothing_but_the_clip_does():
    pleased, displeased = [AU_ROW["AU12"]], [AU_ROW[f"AU{k}"] for k in (4, 10, 15, 17, 24)]

    def both(label):
        truths = scenes("ambivalence", label, n=3)
        return np.mean([min(aus[:, pleased].max(), aus[:, displeased].max()) > 0.25 for aus in truths])

    assert both("ambivalence") > 0.8 and both("neutral") < 0.3


def test_clips_of_a_person_have_both_classes_in_equal_number():
    clips = list(make_clips("pain", [0], n=6, domain=TARGET_DOMAIN, size=16, every=25))
    assert sorted(c.label for c in clips) == ["neutral"] * 3 + ["pain"] * 3
    assert len({c.id for c in clips}) == 6
    other = list(make_clips("pain", [0], n=6, domain=TARGET_DOMAIN, seed=1, size=16, every=25))
    assert not {c.id for c in clips} & {c.id for c in other}


def test_a_person_is_filmed_as_models_see_them():
    one = film_person("pain", 9, 2, TARGET_DOMAIN, seed=1, size=32)
    two = list(make_clips("pain", [9], 2, TARGET_DOMAIN, seed=1, size=32, every=2))
    assert [c.id for c in one] == [c.id for c in two] and len(one[0].times) == 38
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(one, two, strict=True))


def test_the_sets_are_of_different_people():
    assert not set(SOURCE_SUBJECTS) & set(VALIDATION_SUBJECTS)
    assert max(*SOURCE_SUBJECTS, *VALIDATION_SUBJECTS) < 100_000


def test_a_clip_survives_being_written(tmp_path):
    clip = make_clip("pain", 3, "pain", every=3)
    back = read_video(write_video(clip, tmp_path / "pain.mp4"))
    assert back.frames.shape == clip.frames.shape
    assert np.abs(back.frames.astype(float) - clip.frames).mean() < 4


def test_parts_of_a_clip_keep_their_truth():
    clip = make_clip("pain", 3, "pain", size=16, every=3)
    np.testing.assert_array_equal(clip[10:20].aus, clip.aus[10:20])
    with pytest.raises(InputError, match=r"aus must be \[T, N\]"):
        clip.replace(aus=clip.aus[:5])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: make_clip("pian", 0, "pain"), "Did you mean 'pain'"),
        (lambda: make_clip("pain", 0, "Pain"), "neutral, pain"),
        (lambda: make_clip("pain", -3, "pain"), "-3"),
        (lambda: make_clip("pain", 0, "pain", size=8), "size=8"),
        (lambda: list(make_clips("pain", [0], n=0)), "n=0"),
        (lambda: list(make_clips("pain", [0], seed=-1)), "seed=-1"),
        (lambda: make_scene("pain", Subject.sample(8), "joy"), "not one of the classes"),
        (lambda: true_intensities("pain", [7], 0), "n=0"),
    ],
)
def test_bad_input_is_one_clear_error(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize("task", TASKS)
def test_the_truth_of_clips_costs_no_rendering(task, monkeypatch):
    clips = list(make_clips(task, [7, 8], 2, TARGET_DOMAIN, seed=4, size=16, every=stride(task)))
    monkeypatch.setattr(task_module, "render", lambda *_: pytest.fail("rendered"))
    np.testing.assert_allclose(
        true_intensities(task, [7, 8], 2, TARGET_DOMAIN, seed=4), [c.aus.mean(0) for c in clips], atol=1e-7
    )
    person, number = Subject.sample(8, TARGET_DOMAIN), int(clips[-1].id.rsplit("-", 1)[1])
    scene = make_scene(task, person, clips[-1].label, number)
    np.testing.assert_array_equal(scene.aus[:: stride(task)].astype("f4"), clips[-1].aus)
    assert (scene.times[:: stride(task)] == clips[-1].times).all() and scene.head.any()


def test_the_same_person_and_number_give_the_same_pixels_for_good():
    "Clips embedded once are read from a cache under the names of their arguments, so they must stay as they are."
    clip = make_clip("pain", 3, "pain", seed=7, every=25, domain=TARGET_DOMAIN)
    np.testing.assert_allclose(
        clip.frames.mean((1, 2)),
        [[134.56, 114.1, 104.54], [137.91, 117.03, 107.62], [136.26, 115.68, 106.51]],
        atol=0.05,
    )
