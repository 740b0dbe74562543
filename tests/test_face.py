"""The face crop: on a portrait that travels with scikit-image, and on real videos where they are at hand."""

import numpy as np
import pytest
from conftest import SHARED
from PIL import Image

from clip_autt import Clip, FaceBox, crop_face, moving_portrait, read_video
from clip_autt.video.face import bridge_gaps, detect_faces, face_present, find_box, last_good

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
    assert face.found.all() and "something else looks like a face" in face.warnings[0]


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
        x, y, width, height = detect_faces(clip.frames[i])[0]
        assert (
            cut.x <= x + 3
            and x + width <= cut.x + cut.width + 3
            and cut.y <= y + 3
            and y + height <= cut.y + cut.height + 3
        )
    assert crop_face(clip, size=32).found.all()


@pytest.mark.parametrize("degrees", [-30, -15, 15, 30])
def test_a_tilted_head_is_a_face(portrait, degrees):
    box, _ = find_box(portrait.frames)
    tilted = np.stack([np.asarray(Image.fromarray(f).rotate(degrees, center=(128, 150))) for f in portrait.frames])
    assert face_present(tilted, box).mean() > 0.8


def test_a_wall_is_no_face(portrait):
    box, _ = find_box(portrait.frames)
    noise = np.random.default_rng(0).integers(0, 256, (8, *portrait.frames.shape[1:]), dtype=np.uint8)
    upside_down = portrait.frames[:, ::-1]
    assert not face_present(noise, box).any() and not face_present(upside_down, box).any()


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
