"""Annotated films: every frame and its moment, the window in its place, no box without a face, and no result lost."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from clip_autt import ClipAU, PersonalBaseline, read_video, write_video
from clip_autt.show.film import annotate_video, annotated_frames, film_names
from clip_autt.cli.main import app
from clip_autt.utils.errors import VideoError
from clip_autt.video.face import FaceBox
from clip_autt.features import encode_video
from clip_autt.faces.portraits import moving_portrait
from typer.testing import CliRunner

SHARED = Path(__file__).parents[2] / "shared" / "data" / "video"


@pytest.fixture(scope="module")
def model():
    return ClipAU.from_pretrained("facs-tiny")


@pytest.fixture(scope="module")
def made(model, tmp_path_factory):
    "A short film of a real face, what the model saw, the method, and the result."
    film = write_video(moving_portrait(2.0), tmp_path_factory.mktemp("film") / "her.mp4")
    v, method = encode_video(model.backbone, film), PersonalBaseline(model)
    return film, v, method, method.adapt(v)


def orange(image):
    "Pixels in the colour of the chosen window, in the part that is film."
    r, g, b = (image[:400, :400, i].astype(int) for i in range(3))
    return (r > 180) & (abs(g - 94) < 25) & (b < 40)


def test_the_box_is_coloured_inside_of_the_window_only(made):
    film, v, method, result = made
    box = FaceBox(0.3, 0.3, 0.4, 0.4)
    inside = {round(t, 3): bool(orange(f).sum() > 500) for t, f in annotated_frames(film, method, result, v, box)}
    assert any(inside.values()) and not all(inside.values())
    assert all(seen == (result.window.start_s <= t < result.window.stop_s) for t, seen in inside.items())


def test_a_frame_without_a_face_has_no_box(made):
    from dataclasses import replace

    film, v, method, result = made
    blind = replace(v, found=v.found & (v.times < 1))
    frames = list(annotated_frames(film, method, result, blind, FaceBox(0.3, 0.3, 0.4, 0.4)))
    plain = list(annotated_frames(film, method, result, blind, None))
    differs = {round(t, 2): bool((a != b).any()) for (t, a), (_, b) in zip(frames, plain)}
    assert all(shown == (t < 1) for t, shown in differs.items() if abs(t - 1) > 0.1)


def test_every_frame_keeps_its_moment_even_where_they_are_uneven(made, tmp_path):
    _, v, method, result = made
    clip = moving_portrait(2.0)
    uneven = clip.replace(times=clip.times + 0.01 * np.sin(np.arange(len(clip))))
    film = write_video(uneven, tmp_path / "uneven.mp4")
    out = annotate_video(film, tmp_path / "out.webm", method, result, v)
    assert np.allclose(read_video(out).times, read_video(film).times, atol=2e-3)


def test_a_long_film_is_a_stream(made):
    film, v, method, result = made
    frames = annotated_frames(film, method, result, v)
    t, first = next(frames)
    assert t == 0 and first.dtype == np.uint8 and first.shape[0] % 2 == 0 == first.shape[1] % 2
    frames.close()


@pytest.mark.parametrize(
    "videos, out, message",
    [
        (["a.mp4"], "a.mp4", "the video itself"),
        (["a.mp4"], "a.gif", "mp4 or .webm"),
        (["x/a.mp4", "y/a.mov"], "films", "the same name"),
        (["a.mp4", "b.mp4"], "films.mp4", "need a folder"),
    ],
)
def test_names_that_cannot_be_are_refused_before_any_work(videos, out, message):
    with pytest.raises(VideoError, match=message):
        film_names(videos, out)
    result = CliRunner().invoke(app, ["personalize", *videos, "--video", out])
    assert result.exit_code == 1 and message in result.output


def test_a_film_that_cannot_be_written_costs_no_result(made, tmp_path):
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(
        app, ["personalize", str(made[0]), "--video", str(tmp_path / "file" / "film.mp4"), "--json", "-"]
    )
    assert result.exit_code == 0 and '"label": "' in result.output and "no annotated film" in result.output


def test_real_videos(tmp_path):
    if not SHARED.is_dir():
        pytest.skip("no ../shared/data/video beside the project")
    for name in ("single_face.mp4", "face_noface.mov"):
        shutil.copy(SHARED / name, tmp_path / name)
    paths = [str(tmp_path / name) for name in ("single_face.mp4", "face_noface.mov")]
    result = CliRunner().invoke(app, ["personalize", *paths, "--video", str(tmp_path / "films"), "-q"])
    assert result.exit_code == 0, result.output
    for name in ("single_face", "face_noface"):
        source = next(tmp_path.glob(f"{name}.*"))
        assert len(read_video(tmp_path / "films" / f"{name}.mp4")) == len(read_video(source))
