"""Odd films: clocks that cannot be right, turned and mirrored pictures, several tracks, pages and depths in a file."""

import io
import itertools
import os
import re
import struct
from collections import Counter
from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition
from conftest import SHARED
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clip_autt import Clip, VideoError, iter_frames, read_video, sample_frames, write_video
from clip_autt.video.clock import clock_note, display_stamps, nominal_rate, steady
from clip_autt.video.images import bit_depth, eight_bits
from clip_autt.video.io import is_cropped, sample_indices
from clip_autt.video.shape import pixel_shape, shown_size, upright

VIDEOS = SHARED / "data/video"
N = 30


def scene(n: int = N, height: int = 48, width: int = 64) -> np.ndarray:
    "Frames with a bar as long as their number is high, and a red upper left corner."
    frames = np.full((n, height, width, 3), 40, np.uint8)
    for i, frame in enumerate(frames):
        frame[height // 2 :, : (i + 1) * width // n] = 200
        frame[: height // 4, : width // 4] = 255, 0, 0
    return frames


def numbers(frames: np.ndarray) -> list[int]:
    "Which frame of the scene each one is."
    bars = (frames[:, -frames.shape[1] // 4, :, 1] > 120).sum(1)
    return [round(bar * N / frames.shape[2]) - 1 for bar in bars]


def film(
    form, codec="libx264", rate=25, stamps=None, decode_stamps=False, pix="yuv420p", container=None, n=N, **options
):
    "A film in memory. `stamps`, in milliseconds, replace the stamps of the packets in the order in which they come."
    out = io.BytesIO()
    with av.open(out, "w", format=form, options=container or {}) as c:
        s = c.add_stream(codec, rate=rate, options=options)
        s.width, s.height, s.pix_fmt = 64, 48, pix
        packets = []
        for i, image in enumerate(scene(n)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, rate)
            packets += s.encode(frame)
        packets += s.encode()
        first = packets[0].dts
        for i, p in enumerate(packets):
            if decode_stamps:
                p.pts = p.dts = p.dts - first
            if stamps:
                p.pts, p.dts = 1000 + stamps[i], i  # a muxer checks the times of decoding alone
                p.time_base = Fraction(1, 1000)
            c.mux(p)
    return out.getvalue()


# ---- which stamp belongs to which picture ----------------------------------------------------------------------------

B = {"bf": "3", "b-adapt": "0", "crf": "10"}
KINDS = [
    *((form, "libx264", B) for form in "mp4 mov matroska avi asf flv mpegts".split()),
    *((form, "mpeg4", {"bf": "2"}) for form in "mp4 matroska avi asf".split()),
    ("mpegts", "mpeg2video", {"bf": "2"}), ("mpeg", "mpeg2video", {"bf": "0"}), ("webm", "libvpx", {"b": "1M"}),
    ("avi", "mjpeg", {}), ("flv", "flv", {}), ("asf", "wmv2", {}),
]  # fmt: skip


@pytest.mark.parametrize("form, codec, options", KINDS, ids=lambda x: x if isinstance(x, str) else "")
def test_the_same_film_in_any_container(form, codec, options):
    clip = read_video(film(form, codec, pix="yuvj420p" if codec == "mjpeg" else "yuv420p", **options))
    assert numbers(clip.frames) == list(range(N)) and clip.warnings == ()
    np.testing.assert_allclose(clip.times, np.arange(N) / 25, atol=1.1e-3)


@pytest.mark.parametrize("form", ["mp4", "matroska", "flv"])
def test_stamps_that_say_when_to_decode(form):
    "Some programs write decoding times into containers that could hold display times."
    clip = read_video(film(form, decode_stamps=True, **B))
    assert numbers(clip.frames) == list(range(N)) and clip.warnings == ()
    np.testing.assert_allclose(clip.times, np.arange(N) / 25, atol=1.1e-3)


def stored(groups: list[int]) -> list[int]:
    "Pictures in the order of storing: each group's last one first, then those before it."
    order, at = [0], 1
    for n in groups:
        order += [at + n - 1, *range(at, at + n - 1)]
        at += n
    return order


def decoder(order: list[int], stamps: list[float], lost: frozenset[int] = frozenset()):
    "Gives pictures out in the order of display, each as soon as all earlier ones have come, with its packet's stamp."
    of, ready, shown = dict(zip(order, stamps)), set(), 0
    for picture, stamp in zip(order, stamps):
        ready.add(picture)
        out = []
        while shown in ready:
            if shown not in lost:
                out.append((of[shown], shown))
            shown += 1
        yield stamp, out


@given(st.lists(st.integers(1, 8), min_size=1, max_size=12), st.data())
def test_pictures_get_their_stamps_whatever_is_stored_first(groups, data):
    order = stored(groups)
    steps = data.draw(st.lists(st.floats(0.01, 1), min_size=len(order), max_size=len(order)))
    moments = list(itertools.accumulate(steps))
    for stamps in (moments, [moments[p] for p in order]):  # of decoding, of display
        assert list(display_stamps(decoder(order, stamps), True)) == list(zip(moments, range(len(order))))


@given(st.lists(st.integers(2, 4), min_size=30, max_size=40), st.sets(st.integers(1, 100), min_size=1, max_size=9))
def test_lost_pictures_take_nothing_from_the_others(groups, lost):
    order = stored(groups)
    given_out = list(display_stamps(decoder(order, order, frozenset(lost)), True))
    assert given_out == [(p, p) for p in range(len(order)) if p not in lost]


def test_a_film_of_decoding_times_loses_step_for_seventeen_pictures_at_most():
    order = list(range(200))
    given_out = list(display_stamps(decoder(order, order, frozenset({50})), True))
    assert [p for stamp, p in given_out if stamp != p] == list(range(51, 67))


@pytest.mark.skipif(not VIDEOS.is_dir(), reason="the real videos of ../shared are absent")
@pytest.mark.parametrize("name", ["single_face.mp4", "face_noface.mov", "no_face.mp4"])
def test_real_films_keep_the_stamps_of_their_frames(name):
    with av.open(str(VIDEOS / name)) as c:
        stamps = [frame.time for frame in c.decode(video=0)]
    times = [t for t, _ in iter_frames(VIDEOS / name, max_side=16)]
    np.testing.assert_allclose(times, np.array(stamps) - stamps[0], atol=1e-9)


# ---- stamps that cannot be right -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stamps, expected, counted",
    [
        ([0] * N, np.arange(N) * 0.04, "29 of 30 .*29 repeated"),
        ([i // 10 * 400 for i in range(N)], np.arange(N) * 0.04, "27 of 30 .*27 repeated"),
        (list(range(N)), np.arange(N) * 0.04, "29 of 30 .*29 repeated"),
        ([40 * (i % 15) for i in range(N)], np.arange(N) * 0.04, "1 of 30 .*1 earlier"),
        ([40 * i - 300 * (i > 20) for i in range(N)], np.arange(N) * 0.04, "1 of 30 .*1 earlier"),
        ([0 if i == 9 else 40 * i for i in range(N)], np.arange(N) * 0.04, "1 of 30 .*1 earlier"),
        ([40 * i + 3 * (i % 2) for i in range(N)], np.arange(N) * 0.04 + 0.003 * (np.arange(N) % 2), None),
    ],
    ids="equal tens numbered again set-back stray jitter".split(),
)
def test_stamps_that_cannot_be_right_are_counted_and_said(stamps, expected, counted):
    clip = read_video(film("matroska", "mpeg4", stamps=stamps))
    assert numbers(clip.frames) == list(range(N))
    np.testing.assert_allclose(clip.times, expected, atol=1e-9)
    assert not clip.warnings if counted is None else len(clip.warnings) == 1
    if counted:
        assert re.search(counted, clip.warnings[0])
        assert "at 25 frames a second" in clip.warnings[0]


def test_a_rate_that_no_camera_has():
    clip = read_video(film("avi", "mjpeg", rate=1000, pix="yuvj420p"), fps=12.5)
    assert clip.warnings == (
        "29 of 30 time stamps cannot be right (29 repeated or too close to the one before): "
        "counted at 25 frames a second. The file says 1000 frames a second.",
    )
    assert numbers(clip.frames) == list(range(0, N, 2))


@pytest.mark.parametrize("rate", [10, 200, 500])
def test_slow_and_fast_cameras_are_believed(rate):
    clip = read_video(film("avi", "mjpeg", rate=rate, pix="yuvj420p"))
    assert len(clip) == N and not clip.warnings and clip.fps == pytest.approx(rate)


def test_a_stream_without_a_container_is_counted():
    clip = read_video(film("h264", **B))
    assert (
        numbers(clip.frames) == list(range(N)) and "30 of 30" in clip.warnings[0] and "without one" in clip.warnings[0]
    )
    np.testing.assert_allclose(clip.times, np.arange(N) / 25)


def test_what_was_counted_is_said_even_when_reading_stops_early():
    data = film("matroska", "mpeg4", stamps=[0] * N)
    for how in (dict(max_frames=5), dict(stop_s=0.2)):
        assert "4 of 5" in read_video(data, **how).warnings[0] or "5 of 6" in read_video(data, **how).warnings[0]
    assert "29 of 30" in sample_frames(data, 3).warnings[0]


STAMPS = st.lists(st.one_of(st.none(), st.floats(-100, 1e5)), min_size=1, max_size=60)


@given(STAMPS, st.floats(0.01, 1))
def test_every_picture_is_kept_whatever_the_stamps(stamps, step):
    faults = Counter()
    given_out = list(steady(zip(stamps, itertools.count()), step, faults))
    times = [t for t, _ in given_out]
    assert [p for _, p in given_out] == list(range(len(stamps)))
    assert times[0] == 0 and all(a < b for a, b in itertools.pairwise(times))
    assert faults.total() <= len(stamps) and bool(faults) == bool(clock_note(faults, len(stamps), 25, 25))


@given(st.lists(st.floats(0.002, 10), min_size=1, max_size=60), st.floats(-1e4, 1e4), st.floats(0.01, 1))
def test_stamps_that_can_be_right_are_believed(steps, start, step):
    stamps = [start + t for t in itertools.accumulate(steps)]
    faults = Counter()
    times = [t for t, _ in steady(((t, None) for t in stamps), step, faults)]
    assert not faults
    np.testing.assert_allclose(times, np.array(stamps) - stamps[0], atol=1e-9)


def test_the_best_claim_that_a_camera_can_have():
    assert nominal_rate(None, 0, 1000, 30, 25) == 30 and nominal_rate(None, 90000) == 25 and nominal_rate(0.5) == 0.5


# ---- turned, mirrored, stretched -------------------------------------------------------------------------------------

ONE = 0x10000
EIGHT = {  # a, b, c, d: where the red corner goes
    (ONE, 0, 0, ONE): "upper left", (-ONE, 0, 0, ONE): "upper right",
    (ONE, 0, 0, -ONE): "lower left", (-ONE, 0, 0, -ONE): "lower right",
    (0, ONE, -ONE, 0): "upper right", (0, -ONE, ONE, 0): "lower left",
    (0, ONE, ONE, 0): "upper left", (0, -ONE, -ONE, 0): "lower right",
}  # fmt: skip


def with_matrix(data: bytes, matrix) -> bytes:
    "An mp4 whose track header holds another display matrix."
    data, (a, b, c, d) = bytearray(data), matrix
    at = data.index(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)
    return bytes(data)


@pytest.mark.parametrize(
    "matrix, corner", EIGHT.items(), ids=lambda x: x.replace(" ", "-") if isinstance(x, str) else ""
)
def test_all_eight_ways_to_turn_and_mirror(matrix, corner):
    data = with_matrix(film("mp4", crf="1", n=3), matrix)
    for clip in (read_video(data), sample_frames(data, 2), read_video(data, max_side=32)):
        frame, turned = clip.frames[-1], matrix[0] == 0
        assert (frame.shape[0] > frame.shape[1]) == turned
        red = (frame[..., 0] > 150) & (frame[..., 1] < 100)
        y, x = (0 if "upper" in corner else -1), (0 if "left" in corner else -1)
        assert red[y, x] and red.sum() < 0.1 * red.size  # corner and turn together tell all eight apart


@given(st.sampled_from(list(EIGHT)), st.integers(1, 5), st.integers(1, 5))
def test_turning_back_gives_the_same_picture(matrix, height, width):
    image = np.arange(height * width).reshape(height, width)
    a, b, c, d = matrix
    np.testing.assert_array_equal(upright(upright(image, matrix), (a, c, b, d)), image)  # transposed is inverse


def shaped(width, height, ratio, matrix=None):
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as c:
        s = c.add_stream("libx264", rate=25, options={"crf": "10"})
        s.width, s.height, s.pix_fmt = width, height, "yuv444p" if width % 2 or height % 2 else "yuv420p"
        s.codec_context.sample_aspect_ratio = ratio
        for image in scene(3, height, width):
            c.mux(s.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        c.mux(s.encode())
    return with_matrix(out.getvalue(), matrix) if matrix else out.getvalue()


@pytest.mark.parametrize(
    "stored, ratio, shown",
    [
        ((144, 108), Fraction(4, 3), (192, 108)), ((72, 58), Fraction(16, 15), (77, 58)),
        ((72, 48), Fraction(8, 9), (72, 54)), ((64, 48), Fraction(1, 1), (64, 48)),
        ((64, 48), Fraction(160, 159), (64, 48)), ((63, 47), Fraction(1, 1), (63, 47)),
    ],
)  # fmt: skip
def test_pixels_that_are_not_square(stored, ratio, shown):
    clip = read_video(shaped(*stored, ratio))
    assert clip.frames.shape[2:0:-1] == shown and not clip.warnings
    limited = read_video(shaped(*stored, ratio), max_side=32).frames.shape
    assert max(limited[1:3]) == 32 and limited[2] / limited[1] == pytest.approx(shown[0] / shown[1], rel=0.1)


def test_a_stretched_film_that_lies_on_its_side():
    "The ratio belongs to the stored picture, so the film is stretched first and then turned."
    assert read_video(shaped(144, 108, Fraction(4, 3), (0, ONE, -ONE, 0))).frames.shape[1:3] == (192, 108)


def test_a_ratio_that_is_damage():
    clip = read_video(shaped(64, 48, Fraction(9, 1)))
    assert clip.frames.shape[1:3] == (48, 64) and "9 times as wide" in clip.warnings[0]


@given(st.integers(1, 5000), st.integers(1, 5000), st.fractions(Fraction(1, 1000), 1000))
def test_a_shape_never_loses_pixels_and_never_explodes(width, height, ratio):
    shown = shown_size(width, height, pixel_shape(ratio, []))
    assert shown[0] >= width and shown[1] >= height and shown[0] * shown[1] <= 4.01 * width * height + width + height


@pytest.mark.parametrize("name", ["12:30.mp4", "plain.mp4", "~/home.mp4", "file:x.mp4"])
def test_a_film_of_faces_is_recognised_by_any_name(tmp_path, monkeypatch, name):
    if os.name == "nt" and ":" in name:
        pytest.skip("no such names on Windows")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    data = write_video(Clip(scene(3), np.arange(3) / 25, found=np.ones(3, bool)), "a.mp4").read_bytes()
    (tmp_path / name.removeprefix("~/")).write_bytes(data)
    assert is_cropped(name) and read_video(name).found.all() and is_cropped(bytearray(data))


# ---- more than one ---------------------------------------------------------------------------------------------------


def two_tracks(default: tuple[int, ...]) -> bytes:
    "Two tracks, black and white; the numbers of those that are marked as default."
    out = io.BytesIO()
    with av.open(out, "w", format="matroska", options={"default_mode": "passthrough"}) as c:
        tracks = [c.add_stream("mpeg4", rate=25) for _ in range(2)]
        for i, s in enumerate(tracks):
            s.width, s.height, s.pix_fmt = 32, 32, "yuv420p"
            s.disposition = Disposition.default.value if i in default else 0
        for i, s in enumerate(tracks):
            for _ in range(3):
                c.mux(s.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), 255 * i, np.uint8), format="rgb24")))
            c.mux(s.encode())
    return out.getvalue()


@pytest.mark.parametrize(
    "default, white, said", [((1,), True, "number 2 was read (the default)"), ((0, 1), False, "number 1"),
                             ((), False, "number 1 was read (none is marked")]
)  # fmt: skip
def test_the_default_track_is_read(default, white, said):
    clip = read_video(two_tracks(default))
    assert len(clip) == 3 and (clip.frames.mean() > 128) == white
    assert len(clip.warnings) == 1 and "2 video tracks" in clip.warnings[0] and said in clip.warnings[0]


def animation(path, durations=None, n=6):
    images = [Image.fromarray(f) for f in scene(N, 48, 64)[:n]]
    how = {} if durations is None else {"duration": durations}
    images[0].save(
        path, save_all=True, append_images=images[1:], **how, **({"lossless": True} if path.suffix == ".webp" else {})
    )
    return path


@pytest.mark.parametrize("suffix", [".webp", ".png", ".apng", ".gif", ".avif"])
def test_animations_are_films_with_their_own_times(tmp_path, suffix):
    if suffix == ".avif" and not Image.registered_extensions().get(".avif"):
        pytest.skip("this Pillow writes no AVIF")
    clip = read_video(animation(tmp_path / f"a{suffix}", [100, 200, 50, 100, 40, 100]))
    assert len(clip) == 6 and clip.frames.shape[1:] == (48, 64, 3)
    np.testing.assert_allclose(clip.times, [0, 0.1, 0.3, 0.35, 0.45, 0.49], atol=1e-6)
    assert numbers(clip.frames) == list(range(6)) and not clip.warnings


def test_the_pages_of_a_tiff_come_at_the_rate_of_a_folder(tmp_path):
    path = animation(tmp_path / "a.tif")
    clip = read_video(path, folder_fps=10)
    assert numbers(clip.frames) == list(range(6)) and not clip.warnings
    np.testing.assert_allclose(clip.times, np.arange(6) / 10)
    assert numbers(sample_frames(path, 3).frames) == list(sample_indices(6, 3)) and read_video(
        path, max_side=32
    ).frames.shape[1:3] == (
        24,
        32,
    )
    assert [t for t, _ in iter_frames(path, folder_fps=10, fps=5)] == pytest.approx([0, 0.2, 0.4])


def test_pictures_that_are_shown_for_no_time_are_counted(tmp_path):
    clip = read_video(animation(tmp_path / "a.webp", [0] * 6))
    np.testing.assert_allclose(clip.times, np.arange(6) / 25)
    assert "5 of 6 time stamps cannot be right" in clip.warnings[0]


def test_second_pictures_that_are_no_next_frame(tmp_path):
    "A telephone's JPEG with a preview behind it; a reduced copy of a TIFF's page; a film among single pictures."
    images = [Image.fromarray(f) for f in scene(3)]
    images[0].save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=images[1:])
    clip = read_video(tmp_path / "a.jpg")
    assert len(clip) == 1 and "several pictures" in clip.warnings[0]
    with Image.new("RGB", (64, 48)) as big, Image.new("RGB", (32, 24), "white") as reduced:
        reduced.encoderinfo = {"tiffinfo": {254: 1}}
        big.save(tmp_path / "b.tif", save_all=True, append_images=[reduced])
    assert read_video(tmp_path / "b.tif").frames.shape == (1, 48, 64, 3)
    (tmp_path / "mixed").mkdir()
    animation(tmp_path / "mixed" / "1.webp", 100)
    images[1].save(tmp_path / "mixed" / "2.png")
    clip = read_video(tmp_path / "mixed")
    assert len(clip) == 2 and "several pictures" in clip.warnings[0]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_film_of_pictures_that_was_cut_short(tmp_path):
    path = animation(tmp_path / "a.tif")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    try:
        clip = read_video(path)
        assert 1 <= len(clip) < 6 and clip.warnings
    except VideoError as e:
        assert "a.tif" in str(e)
    (tmp_path / "b.webp").write_bytes(animation(tmp_path / "c.webp", 100).read_bytes()[:-400])
    with pytest.raises(VideoError, match=r"b\.webp"):
        read_video(tmp_path / "b.webp")


# ---- depth -----------------------------------------------------------------------------------------------------------

RAMP = np.linspace(0, 255, 48 * 64).round().reshape(48, 64).astype(np.uint16)


def deep_folder(folder, pictures, suffix=".png"):
    folder.mkdir()
    for i, values in enumerate(pictures):
        Image.fromarray(np.asarray(values, np.uint16)).save(folder / f"{i}{suffix}")
    return folder


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_any_depth_in_sixteen_bits(tmp_path, bits, suffix):
    clip = read_video(deep_folder(tmp_path / "d", [RAMP << (bits - 8)] * 2, suffix))
    np.testing.assert_array_equal(clip.frames[1, ..., 0], RAMP)
    said = f"Deep pictures hold values up to {255 << (bits - 8)}: read with {bits} bits."
    assert clip.warnings == (() if bits == 16 else (said,))


def test_one_depth_for_all_pictures(tmp_path):
    "A film that begins in the dark: the brightness of each picture relative to the others is kept."
    levels = [100, 16, 1600, 3200, 800, 4000]
    folder = deep_folder(tmp_path / "d", [np.full((8, 8), v) for v in levels])
    for clip in (read_video(folder), sample_frames(folder, 6)):
        assert clip.frames[:, 0, 0, 0].tolist() == [v >> 4 for v in levels]
        assert clip.warnings == ("Deep pictures hold values up to 4000: read with 12 bits.",)
    pages = [Image.fromarray(np.full((8, 8), v, np.uint16)) for v in levels]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert read_video(tmp_path / "a.tif").frames[:, 0, 0, 0].tolist() == [v >> 4 for v in levels]


def test_a_picture_brighter_than_those_that_were_looked_at_is_white_and_said(tmp_path):
    levels = [1000] * 40
    levels[1] = 5000  # of 40 pictures, 16 are looked at: 0, 3, 5 ...
    clip = read_video(deep_folder(tmp_path / "d", [np.full((8, 8), v) for v in levels]))
    assert clip.frames[:3, 0, 0, 0].tolist() == [250, 255, 250]
    assert clip.warnings[1] == "Pixels brighter than 1023, all that 10 bits hold, were cut."


@given(st.integers(0, 2**31 - 1))
def test_the_depth_holds_the_value(highest):
    bits = bit_depth(highest, [])
    notes = []
    value = int(eight_bits(np.array([[highest]]), bits, notes)[0, 0])
    assert value == highest >> (bits - 8) and not notes and 8 <= bits <= 32


def flat(codec, pix, full, luma, form="matroska", **options):
    "A grey film of one luma value, in the film's own depth."
    out = io.BytesIO()
    with av.open(out, "w", format=form) as c:
        s = c.add_stream(codec, rate=25, options=options)
        s.width, s.height, s.pix_fmt = 64, 48, pix
        s.codec_context.color_range = 2 if full else 1
        for i in range(3):
            frame = av.VideoFrame(64, 48, pix)
            frame.color_range, frame.pts, frame.time_base = 2 if full else 1, i, Fraction(1, 25)
            deep = frame.format.components[0].bits > 8
            for k, plane in enumerate(frame.planes):
                value = luma if k == 0 else 1 << (frame.format.components[0].bits - 1)
                plane.update(np.full(plane.buffer_size // (1 + deep), value, np.uint16 if deep else np.uint8).tobytes())
            c.mux(s.encode(frame))
        c.mux(s.encode())
    return out.getvalue()


@pytest.mark.parametrize("codec, pix, bits", [
    ("libx264", "yuv420p", 8), ("libx264", "yuv420p10le", 10), ("ffv1", "yuv420p12le", 12), ("ffv1", "yuv422p10le", 10),
])  # fmt: skip
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
def test_depth_and_range_of_video(codec, pix, bits, full):
    "Black, a middle grey and white, at 8, 10 and 12 bits, in limited and in full range."
    scale = 1 << (bits - 8)
    black, white = (0, 256 * scale - 1) if full else (16 * scale, 235 * scale)
    for share in (0, 0.5, 1):
        data = flat(codec, pix, full, round(black + share * (white - black)))
        for how in ({}, dict(max_side=32)):
            clip = read_video(data, **how)
            assert abs(clip.frames.astype(int) - 255 * share).max() <= 3 and not clip.warnings


def test_a_grey_film_that_uses_few_of_its_sixteen_bits_is_said_to_be_dark():
    assert "up to 4095 of 65535" in read_video(flat("ffv1", "gray16le", True, 4095)).warnings[0]
    assert not read_video(flat("ffv1", "gray16le", True, 40000)).warnings
