"""People of the tasks in 3-D: the same scenes, other pictures."""

import numpy as np
import pytest
from numpy.random import default_rng

from clip_autt.backbone import load_backbone
from clip_autt.faces.lens import Lens
from clip_autt.faces.light import Light
from clip_autt.faces.people import DomainShift, Subject, intensities
from clip_autt.faces.person import Person, sample_shot
from clip_autt.faces.tasks import TARGET_DOMAIN, TASKS, make_clip, make_clips
from clip_autt.faces.videos import kept_target_videos, rendered_videos
from clip_autt.utils.errors import InputError

SMILE = intensities({"AU6": 0.6, "AU12": 0.7, "AU25": 0.6})


@pytest.mark.parametrize("task", TASKS)
def test_a_scene_is_the_same_drawn_and_photographed(task):
    label = TASKS[task].classes[1]
    drawn = make_clip(task, 31, label, seed=2, domain=TARGET_DOMAIN, every=30)
    photographed = make_clip(task, Person.sample(31, TARGET_DOMAIN), label, seed=2, size=32, every=30)
    assert np.array_equal(drawn.aus, photographed.aus) and np.array_equal(drawn.times, photographed.times)
    assert (drawn.id, drawn.subject) == (photographed.id, photographed.subject)
    assert photographed.frames.shape == (len(drawn.times), 32, 32, 3)


def test_make_clips_can_be_played_by_either_cast():
    drawn, photographed = ([*make_clips("pain", [5], 2, every=40, size=32, cast=cast)] for cast in (Subject, Person))
    for a, b in zip(drawn, photographed, strict=True):
        assert np.array_equal(a.aus, b.aus) and a.label == b.label and not np.array_equal(a.frames, b.frames)


def test_videos_of_both_casts_are_kept_apart(tmp_path):
    backbone = load_backbone("tiny")
    kept = [
        kept_target_videos(backbone, "stress", 3, 1, folder=tmp_path, n=2, cast=cast, progress=False)
        for cast in (Subject, Person, Person)
    ]
    assert len([*tmp_path.iterdir()]) == 2
    assert not np.array_equal(kept[0][0].video.frames, kept[1][0].video.frames)
    assert np.array_equal(kept[1][0].video.frames, kept[2][0].video.frames)
    assert [x.label for x in kept[0]] == [x.label for x in kept[1]]


def test_how_many_processes_photograph_changes_nothing():
    backbone = load_backbone("tiny")
    one, two = (
        rendered_videos(backbone, "stress", range(2), 1, n_jobs=jobs, cast=Person, progress=False) for jobs in (1, 2)
    )
    for a, b in zip(one, two, strict=True):
        assert np.allclose(a.video.frames, b.video.frames, atol=1e-4)


def test_a_person_has_the_habits_of_the_subject():
    subject, person = Subject.sample(44, TARGET_DOMAIN), Person.sample(44, TARGET_DOMAIN)
    for name in ("rest", "gain", "sides", "habit"):
        assert np.array_equal(getattr(subject, name), getattr(person, name))
    assert person.id == subject.id and 10 <= person.identity.age <= 90 and "s44" in repr(person)


def test_dials_lead_from_a_portrait_to_a_snapshot():
    still = sample_shot(default_rng(3), DomainShift(light=0, pose=0))
    assert still.light == Light() and (still.lens.zoom, still.lens.offset) == (Lens().zoom, Lens().offset)
    shots = [[sample_shot(default_rng(k), DomainShift(pose=dial, light=dial)) for k in range(60)] for dial in (1, 3)]
    roll, power = (
        [np.std([f(s) for s in row]) for row in shots] for f in (lambda s: s.lens.roll, lambda s: s.light.power)
    )
    assert roll[1] == pytest.approx(3 * roll[0]) and power[1] > power[0]
    assert min(s.light.power for s in shots[1]) > 0 and min(s.lens.zoom for s in shots[1]) > 0


def test_hands_come_as_often_as_the_dial_says():
    often = [
        np.mean([sample_shot(default_rng(k), DomainShift(occlusion=dial)).hand is not None for k in range(400)])
        for dial in (0, 2, 10)
    ]
    assert often[0] == 0 and 0.03 < often[1] < 0.14 and 0.3 < often[2] < 0.5


def test_expressivity_shows():
    "The same scene moves more pixels of a person who moves more."

    def moved(person):
        calm, smiling = (person.film(a, default_rng(1), 48).astype(int) for a in (0 * SMILE, SMILE))
        return np.abs(smiling - calm).mean()

    person = Person.sample(50)
    lively, quiet = (Person(**vars(person) | dict(sides=factor * person.sides)) for factor in (1.2, 0.4))
    assert moved(lively) > 1.5 * moved(quiet) > 0


def test_extreme_dials_still_give_a_face():
    frames = Person.sample(9, DomainShift(10, 10, 10, 10, 10, 10)).film(SMILE, default_rng(0), 32)
    assert frames.shape == (1, 32, 32, 3) and frames.std() > 3


def test_wrong_numbers_and_intensities_are_errors():
    with pytest.raises(InputError, match="from 0 up"):
        Person.sample(-1)
    with pytest.raises(InputError, match=r"AU12 has the intensity 1\.5"):
        Person.sample(1).film(SMILE * 0 + np.eye(len(SMILE[0]))[9] * 1.5, default_rng(0))
