"""The embedded benchmark: the same numbers give the same videos, and people stay apart."""

import numpy as np
import pytest
import torch

from clip_autt import load_backbone
from clip_autt.faces import tasks as task_module
from clip_autt.utils.errors import InputError
from clip_autt.faces.people import Subject
from clip_autt.faces.tasks import TARGET_DOMAIN, TASKS, film_person, make_clip, make_scene
from clip_autt.faces.videos import (
    kept_target_videos,
    rendered_videos,
    source_videos,
    target_videos,
    zero_shot_emotions,
)


@pytest.fixture(scope="module")
def tiny():
    return load_backbone("tiny")


def test_processes_do_not_change_the_videos(tiny):
    one, two = (rendered_videos(tiny, "pain", [1, 2], n=2, n_jobs=jobs, progress=False) for jobs in (1, 2))
    assert [(x.video.id, x.label) for x in one] == [(x.video.id, x.label) for x in two]
    for a, b in zip(one, two, strict=True):  # threads add up in another order
        torch.testing.assert_close(a.video.frames, b.video.frames, atol=2e-3, rtol=1e-3)


def test_kept_videos_are_rendered_once(tiny, tmp_path, monkeypatch):
    kept = lambda **kw: kept_target_videos(tiny, "stress", 3, 1, folder=tmp_path, progress=False, **dict(n=2) | kw)
    first, fresh = kept(), target_videos(tiny, "stress", 3, 1, n=2, progress=False)
    (path,) = tmp_path.rglob("*.safetensors")
    for a, b in zip(first, fresh, strict=True):
        assert a.label == b.label and torch.equal(a.video.frames, b.video.frames)
    with monkeypatch.context() as patch:
        patch.setattr("clip_autt.faces.videos.film_person", lambda *_, **__: pytest.fail("rendered again"))
        again = kept()
    assert [(x.label, x.video.id, x.video.subject) for x in again] == [
        (x.label, x.video.id, x.video.subject) for x in first
    ]
    assert all(torch.equal(a.video.frames, b.video.frames) for a, b in zip(again, first, strict=True))
    path.write_bytes(path.read_bytes()[:100])
    assert len(kept()) == 2 and path.stat().st_size > 100, "a file that cannot be read is made again"
    other = kept(n=1)
    assert len(other) == 1 and len([*tmp_path.iterdir()]) == 2, "other arguments have another folder"


def test_each_person_is_kept_as_soon_as_there_is_one(tiny, tmp_path, monkeypatch):
    asked = []

    def film(task, number, *options):
        asked.append(number)
        if asked == [3, 4, 5]:
            raise KeyboardInterrupt
        return film_person(task, number, *options)

    monkeypatch.setattr("clip_autt.faces.videos.film_person", film)
    people = lambda n: kept_target_videos(tiny, "stress", 3, n, folder=tmp_path, progress=False, n=1)
    with pytest.raises(KeyboardInterrupt):
        people(4)
    assert sorted(p.stem for p in tmp_path.rglob("*.safetensors")) == ["3", "4"]
    assert [x.video.subject for x in people(4)] == ["s3", "s4", "s5", "s6"] and asked == [3, 4, 5, 5, 6]
    assert [x.video.subject for x in people(2)] == ["s3", "s4"] and len(asked) == 5, "some of those who are kept"


def test_the_bar_ends_with_the_last_person(tiny, tmp_path, capsys):
    people = lambda: kept_target_videos(tiny, "stress", 3, 2, folder=tmp_path, n=1)
    assert people() and "100%" in capsys.readouterr().err
    assert people() and not capsys.readouterr().err, "who is kept needs no bar"


def test_faces_are_as_large_as_the_backbone_reads_them(tiny, monkeypatch):
    sizes = []
    film = lambda task, number, n, domain, seed, size: (
        sizes.append(size) or film_person(task, number, 1, domain, seed, 16)
    )
    monkeypatch.setattr("clip_autt.faces.videos.film_person", film)
    for backbone in (tiny, load_backbone("facs-tiny")):
        rendered_videos(backbone, "stress", [1], progress=False)
    assert sizes == [32, 96]


@pytest.mark.parametrize("task, frames, fps", [("pain", 38, 12.5), ("stress", 60, 2.5), ("ambivalence", 75, 12.5)])
def test_lengths_and_rates(tiny, task, frames, fps):
    (x, _) = rendered_videos(tiny, task, [4], n=2, progress=False)
    assert len(x.video) == frames and x.video.found.all()
    assert float(x.video.times[1]) == pytest.approx(1 / fps)


def test_a_seed_moves_people_and_clips(tiny):
    a, b = (target_videos(tiny, "pain", seed, n_subjects=2, n=2, progress=False) for seed in (0, 1))
    assert {x.video.subject for x in a} == {"s0", "s1"} and {x.video.subject for x in b} == {"s1", "s2"}
    assert not {x.video.id for x in a} & {x.video.id for x in b}, "the person in common has other clips"


@pytest.mark.parametrize("task", TASKS)
def test_labels_do_not_touch_the_camera(task, monkeypatch):
    "Where faces do the same under both labels, pixels are the same: only the face tells the classes apart."
    first, second = TASKS[task].classes
    acted = make_scene(task, Subject.sample(5, TARGET_DOMAIN), second, 3)
    assert not np.array_equal(make_scene(task, Subject.sample(5, TARGET_DOMAIN), first, 3).aus, acted.aus)
    monkeypatch.setattr(task_module, "make_scene", lambda *_, **__: acted)
    a, b, other = (
        make_clip(task, 5, label, seed, domain=TARGET_DOMAIN, every=15, size=32).frames
        for label, seed in ((first, 3), (second, 3), (first, 4))
    )
    assert np.array_equal(a, b) and not np.array_equal(a, other), "another clip has another camera"


def test_source_people_are_forty_and_ten(tiny, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "clip_autt.faces.videos.rendered_videos",
        lambda backbone, task, people, **kwargs: asked.append(set(people)) or [],
    )
    source_videos(tiny, "pain")
    assert list(map(len, asked)) == [40, 10] and not asked[0] & asked[1]


def test_bad_input(tiny):
    for call, message in (
        (lambda: rendered_videos(tiny, "pian", [0]), "Did you mean 'pain'"),
        (lambda: rendered_videos(tiny, "pain", []), "no subjects"),
        (lambda: target_videos(tiny, "pain", -1), "seed=-1"),
        (lambda: target_videos(tiny, "pain", n_subjects=0), "n_subjects=0"),
    ):
        with pytest.raises(InputError, match=message):
            call()


def test_emotions_are_named_above_chance_by_the_bundled_model():
    accuracy, chance = zero_shot_emotions(load_backbone("facs-tiny"), range(940_000, 940_020))
    assert chance == pytest.approx(1 / 7) and accuracy > 2 * chance
