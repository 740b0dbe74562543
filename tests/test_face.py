"""The face crop: on a portrait that travels with scikit-image, on rendered people of all tones, and on real videos."""

import json
import runpy
import shutil
import sys

import numpy as np
import pytest
import torch
from conftest import SHARED
from numpy.random import default_rng
from PIL import Image
from safetensors import safe_open

from clip_autt import Clip, FaceBox, crop_face, moving_portrait, read_video
from clip_autt.faces.people import Subject, render, sample_shot
from clip_autt.faces.tasks import TARGET_DOMAIN
from clip_autt.utils.assets import assets
from clip_autt.utils.errors import BackboneError
from clip_autt.video.detector import STRIDES, decode, detect_faces, load_face_net
from clip_autt.video.face import bridge_gaps, crop_frames, face_present, find_box, last_good

VIDEOS = SHARED / "data/video"
needs_videos = pytest.mark.skipif(not VIDEOS.is_dir(), reason="the real videos of ../shared are absent")


@pytest.fixture(scope="module")
def portrait():
    return moving_portrait(1, fps=12.5)


def on_canvas(clip: Clip, x: int, y: int, height: int = 480, width: int = 640) -> Clip:
    frames = np.full((len(clip), height, width, 3), 120, np.uint8)
    frames[:, y : y + 256, x : x + 256] = clip.frames
    return clip.replace(frames=frames)


@pytest.mark.parametrize("x, y", [(0, 0), (384, 224), (200, 100)])
def test_the_box_follows_the_face(portrait, x, y):
    box, notes = find_box(on_canvas(portrait, x, y).frames[::2])
    assert abs(box.x + box.width / 2 - x - 128) < 25 and abs(box.y + box.height / 2 - y - 160) < 30 and not notes


def test_crops_are_square_inside_and_counted(portrait):
    face = crop_face(on_canvas(portrait, 0, 224), size=96)
    assert face.frames.shape == (len(portrait), 96, 96, 3) and face.found.all() and not face.warnings


def test_two_faces_are_reported_and_the_larger_is_used(portrait):
    both = on_canvas(portrait, 0, 100)
    big = np.stack([f[::2, ::2] for f in portrait.frames])
    frames = both.frames.copy()
    frames[:, :128, 400:528] = big
    face = crop_face(both.replace(frames=frames))
    assert face.found.all() and "another face in 8 of 8 sampled frames" in face.warnings[0]
    assert find_box(frames)[0].x < 200, "the larger one is on the left"


def test_a_faceless_stretch_repeats_the_last_good_crop(portrait):
    frames = portrait.frames.copy()
    frames[6:] = 90
    face = crop_face(portrait.replace(frames=frames), size=64)
    assert face.found.sum() == 6
    assert all((f == face.frames[5]).all() for f in face.frames[6:])


def test_flicker_is_bridged_but_absence_is_not():
    times, found = np.arange(40) / 20, np.ones(40, bool)
    found[5:9], found[20:35] = False, False
    bridged = bridge_gaps(found, times)
    assert bridged[5:9].all() and not bridged[20:35].any()
    assert last_good(found)[30] == 19
    assert not bridge_gaps(np.zeros(4, bool), times[:4]).any()


def test_no_face_is_a_fact_not_an_error():
    blank = Clip(np.full((5, 60, 80, 3), 90, np.uint8), np.arange(5) / 25)
    face = crop_face(blank, size=32)
    assert not face.found.any() and face.frames.shape == (5, 32, 32, 3) and "0 of 5" in face.warnings[-1]


@pytest.mark.parametrize("shape", [(1, 1), (10, 300), (23, 23), (300, 30)])
def test_any_size_of_image(shape):
    clip = Clip(np.zeros((2, *shape, 3), np.uint8), np.arange(2) / 25)
    assert crop_face(clip, size=16).frames.shape == (2, 16, 16, 3)


def test_boxes_of_an_outside_detector(portrait):
    boxes = np.tile([60.0, 60, 120, 120], (len(portrait), 1))
    boxes[3:5] = np.nan
    face = crop_face(portrait, boxes, size=48)
    assert face.found.tolist() == [i not in (3, 4) for i in range(len(portrait))]
    assert (face.frames[4] == face.frames[2]).all()
    one = crop_face(portrait, FaceBox(60, 60, 120, 120), size=48)
    assert (one.frames[0] == face.frames[0]).all() and one.found.all()


def moving(clip: Clip, shift: int) -> Clip:
    "The portrait carried across a wide picture, `shift` pixels in all."
    frames = np.full((len(clip), 256, 256 + shift, 3), 120, np.uint8)
    for i, frame in enumerate(clip.frames):
        x = round(shift * i / (len(clip) - 1))
        frames[i, :, x : x + 256] = frame
    return clip.replace(frames=frames)


def test_someone_who_moves_stays_inside_the_crop(portrait):
    clip = moving(portrait, 100)
    box, _ = find_box(clip.frames)
    cut = box.square(*clip.frames.shape[1:3])
    for i in (0, len(clip) // 2, len(clip) - 1):
        x, y, width, height = detect_faces(clip.frames[i]).boxes[0]
        assert (
            cut.x <= x + 3
            and x + width <= cut.x + cut.width + 3
            and cut.y <= y + 3
            and y + height <= cut.y + cut.height + 3
        )
    assert crop_face(clip, size=32).found.all()


@pytest.mark.parametrize("degrees", [-45, -30, -15, 15, 30, 45])
def test_a_tilted_head_is_a_face(portrait, degrees):
    box, _ = find_box(portrait.frames)
    tilted = np.stack([np.asarray(Image.fromarray(f).rotate(degrees, center=(128, 150))) for f in portrait.frames])
    assert face_present(tilted, box).mean() > 0.8


def test_a_wall_is_no_face(portrait):
    box, _ = find_box(portrait.frames)
    noise = np.random.default_rng(0).integers(0, 256, (8, *portrait.frames.shape[1:]), dtype=np.uint8)
    assert not face_present(noise, box).any()
    assert not face_present(np.full_like(noise, 90), box).any()


@pytest.mark.parametrize("degrees", [-45, -30, 30, 45])
def test_a_head_that_is_tilted_throughout_is_set_upright(portrait, degrees):
    tilted = np.stack([np.asarray(Image.fromarray(f).rotate(-degrees, center=(128, 150))) for f in portrait.frames])
    box, _ = find_box(tilted)
    assert abs(box.roll_deg - degrees) < 12
    level = crop_frames(portrait.frames[:1], find_box(portrait.frames)[0].square(256, 256), 64)[0]
    turned = crop_frames(tilted[:1], box.square(256, 256), 64)[0]
    likeness = lambda a, b: np.corrcoef(a.reshape(-1), b.reshape(-1))[0, 1]
    lying = crop_frames(tilted[:1], FaceBox(box.x, box.y, box.width, box.height).square(256, 256), 64)[0]
    assert likeness(level, turned) > likeness(level, lying) + 0.1


def test_a_head_that_is_upright_keeps_its_pixels(portrait):
    box, _ = find_box(portrait.frames)
    assert box.roll_deg == 0
    cut = portrait.frames[0][10:110, 20:120]
    assert (crop_frames(portrait.frames[:1], FaceBox(20, 10, 100, 100), 100)[0] == cut).all()


def test_a_face_of_sixteen_pixels_is_found_and_called_too_small(portrait):
    frames = np.full((len(portrait), 90, 120, 3), 120, np.uint8)
    for frame, picture in zip(frames, portrait.frames):
        frame[40:74, 30:64] = Image.fromarray(picture).resize((34, 34), Image.Resampling.BICUBIC)
    face = crop_face(portrait.replace(frames=frames), size=32)
    assert face.found.mean() > 0.8 and "pixels high; small movements cannot be seen" in face.warnings[0]


@pytest.fixture(scope="module")
def strangers():
    "Pictures of 45 strangers of all tones in the light of the target domain, and the tones."
    people = [Subject.sample(s, TARGET_DOMAIN) for s in range(41_000, 41_045)]
    pictures = []
    for person in people:
        g = default_rng([person.seed, 7])
        shot = sample_shot(g, TARGET_DOMAIN)
        pictures.append(render({}, person, type(shot)(shot.light, shot.lens, shot.backdrop), g, 128)[0])
    return np.stack(pictures), np.array([person.tone for person in people])


def test_every_tone_of_skin_is_seen(strangers):
    pictures, tones = strangers
    found = np.array([len(detect_faces(picture).scores) == 1 for picture in pictures])
    thirds = np.digitize(tones, [1 / 3, 2 / 3])
    assert min(np.bincount(thirds)) >= 10
    assert all(found[thirds == k].mean() >= 0.99 for k in range(3))


def test_points_lie_where_eyes_nose_and_mouth_are(strangers):
    for picture in strangers[0][:10]:
        faces = detect_faces(picture)
        (x, y, width, height), points = faces.boxes[0], faces.points[0]
        right_eye, left_eye, nose, right_corner, left_corner = (points - [x, y]) / [width, height]
        assert right_eye[0] < nose[0] < left_eye[0] and right_corner[0] < left_corner[0]
        assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_corner[1], left_corner[1])


def test_the_network_is_the_published_one():
    "The weights under new names give the numbers of the published graph."
    reference = SHARED / "models"
    if not (reference / "yunet.safetensors").is_file():
        pytest.skip("the published graph of ../shared is absent")
    with safe_open(reference / "yunet.safetensors", "pt") as f:
        graph, weights = json.loads(f.metadata()["graph"]), {k: f.get_tensor(k) for k in f.keys()}
    published = runpy.run_path(str(reference / "yunet_torch.py"))["Net"](graph, weights)
    x = torch.rand(1, 3, 96, 160, generator=torch.Generator().manual_seed(0)) * 255
    theirs = published(x)
    for level, stride in zip(load_face_net()(x), STRIDES):
        flat = level[0].flatten(1).T
        torch.testing.assert_close(
            flat[:, :2].sigmoid(), torch.cat([theirs[f"cls_{stride}"][0], theirs[f"obj_{stride}"][0]], 1)
        )
        torch.testing.assert_close(flat[:, 2:6], theirs[f"bbox_{stride}"][0])
        torch.testing.assert_close(flat[:, 6:], theirs[f"kps_{stride}"][0])
        assert decode(level[0], stride).shape == (len(flat), 15)


def test_damaged_weights_are_refused(monkeypatch, tmp_path):
    shutil.copytree(assets() / "face-detector", tmp_path / "face-detector")
    shutil.copy(assets() / "hashes.json", tmp_path)
    weights = tmp_path / "face-detector" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    monkeypatch.setattr(sys.modules["clip_autt.utils.assets"], "assets", lambda: tmp_path)
    load_face_net.cache_clear()
    with pytest.raises(BackboneError, match=r"face-detector/model\.safetensors is damaged"):
        load_face_net()
    load_face_net.cache_clear()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_frames_are_enough(portrait, n):
    assert find_box(portrait.frames[:n])[0] is not None


def test_one_frame_in_eight_is_no_consensus(portrait):
    frames = np.full((8, *portrait.frames.shape[1:]), 90, np.uint8)
    frames[3] = portrait.frames[3]
    assert find_box(frames) == (None, ())
    frames[6] = portrait.frames[6]
    assert find_box(frames)[0] is not None


def test_presence_is_decided_frame_by_frame(portrait):
    "A stream that hands over its frames in pieces gets the same answer."
    box, _ = find_box(portrait.frames)
    pieces = np.concatenate([face_present(portrait.frames[i : i + 5], box) for i in range(0, len(portrait), 5)])
    np.testing.assert_array_equal(pieces, face_present(portrait.frames, box))


@needs_videos
@pytest.mark.parametrize(
    "name, low, high",
    [
        ("single_face.mp4", 1, 1),
        ("WolfgangLanger_Pexels.mp4", 0.95, 1),
        ("face_noface.mov", 0.35, 0.5),
        ("no_face.mp4", 0, 0),
    ],
)
def test_real_videos(name, low, high):
    face = crop_face(read_video(VIDEOS / name, fps=6))
    assert low <= face.found.mean() <= high
    assert bool(face.warnings) == (high < 1), "the grain of the wooden wall behind the moving face is no second face"
