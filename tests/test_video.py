"""Reading and writing video: odd files, odd times, odd images."""

import io
import os
import struct
import wave
from fractions import Fraction

import av
import numpy as np
import pytest
from conftest import SHARED
from PIL import Image

from clip_autt import Clip, InputError, VideoError, iter_frames, read_video, sample_frames, write_video
from clip_autt.video.io import is_cropped, sample_indices

VIDEOS = SHARED / "data/video"
needs_videos = pytest.mark.skipif(not VIDEOS.is_dir(), reason="the real videos of ../shared are absent")


def scene(n: int = 12, height: int = 48, width: int = 64) -> np.ndarray:
    "Frames whose brightness tells their number, with a red upper left corner."
    frames = np.zeros((n, height, width, 3), np.uint8)
    frames[:] = (40 + 15 * np.arange(n) % 200)[:, None, None, None]
    frames[:, : height // 3, : width // 3] = 255, 0, 0
    return frames


def number(frame: np.ndarray) -> int:
    "Which frame of the scene this is."
    return round((float(frame[-12:, -12:].mean()) - 40) / 15)


@pytest.fixture
def mp4(tmp_path):
    return write_video(scene(), tmp_path / "scene.mp4", fps=25, crf=1)


def mux(times_s, container_format, options=None, target=None):
    "A video with given frame times, in memory or to a file, with PyAV alone."
    out = target or io.BytesIO()
    with av.open(out, "w", format=container_format, options=options or {}) as c:
        s = c.add_stream("libvpx" if container_format == "webm" else "libx264", rate=25)
        s.width, s.height, s.pix_fmt = 64, 48, "yuv420p"
        s.codec_context.time_base = Fraction(1, 1000)
        for t, image in zip(times_s, scene(len(times_s)), strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(t * 1000), Fraction(1, 1000)
            c.mux(s.encode(frame))
        c.mux(s.encode())
    return out


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "empty"),
        (b"garbage" * 99, "not a video"),
        (b"\0" * 5000, "not a video"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n", "not a video"),
    ],
)
def test_files_that_are_no_video(tmp_path, content, message):
    (tmp_path / "x.mp4").write_bytes(content)
    with pytest.raises(VideoError, match=message):
        read_video(tmp_path / "x.mp4")
    if content:
        with pytest.raises(VideoError, match="not a video"):
            read_video(content)


def test_missing_files_urls_and_empty_folders(tmp_path):
    with pytest.raises(VideoError, match=r"nowhere\.mp4.*Check the path"):
        read_video(tmp_path / "nowhere.mp4")
    with pytest.raises(VideoError, match="nothing is fetched"):
        read_video("https://example.org/a.mp4")
    with pytest.raises(VideoError, match="frames"):
        read_video(tmp_path)
    with pytest.raises(VideoError, match="empty"):
        read_video(b"")


def test_sound_without_picture(tmp_path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as w:
        w.setparams((1, 2, 8000, 0, "NONE", ""))
        w.writeframes(b"\0\1" * 4000)
    with pytest.raises(VideoError, match="no picture"):
        read_video(tmp_path / "a.wav")


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(fps=0), "fps"), (dict(fps=-1), "fps"), (dict(fps=float("nan")), "fps"),
        (dict(start_s=60), "Choose another part"), (dict(start_s=-1), "start_s"),
        (dict(start_s=0.4, stop_s=0.2), "later than"), (dict(max_frames=0), "max_frames"),
        (dict(max_side=1), "max_side"),
    ],
)  # fmt: skip
def test_bad_arguments(mp4, options, message):
    with pytest.raises(VideoError, match=message):
        read_video(mp4, **options)


def test_truncated_files(mp4, tmp_path):
    data = mux(np.arange(60) / 25, "webm").getvalue()
    half = read_video(data[: len(data) * 6 // 10])
    assert 0 < len(half) < 60
    (tmp_path / "head.mp4").write_bytes(mp4.read_bytes()[:200])
    with pytest.raises(VideoError):
        read_video(tmp_path / "head.mp4")


def test_a_cut_mp4_keeps_its_first_frames_and_warns(tmp_path):
    rng = np.random.default_rng(0)
    whole = write_video(rng.integers(0, 255, (50, 64, 64, 3), dtype=np.uint8), tmp_path / "whole.mp4")
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    clip = read_video(tmp_path / "cut.mp4")
    assert 5 < len(clip) < 50 and clip.warnings


# ---- time ------------------------------------------------------------------------------------------------------------

UNEVEN = [0, 0.033, 0.1, 0.5, 0.52, 0.9, 1.4]


def test_live_webm_without_duration_keeps_its_times():
    data = mux(UNEVEN, "webm", {"live": "1"}).getvalue()
    clip = read_video(data)
    np.testing.assert_allclose(clip.times, UNEVEN, atol=2e-3)
    assert [number(f) for f in clip.frames] == list(range(len(UNEVEN)))


def test_fragmented_mp4_starts_at_zero():
    data = mux(np.arange(10) / 25, "mp4", {"movflags": "frag_keyframe+empty_moov"}).getvalue()
    clip = read_video(data)
    assert clip.times[0] == 0 and len(clip) == 10
    np.testing.assert_allclose(np.diff(clip.times), 0.04, atol=2e-3)


def test_sampling_is_by_time():
    data = mux(UNEVEN, "webm").getvalue()
    assert [number(f) for f in read_video(data, fps=2).frames] == [0, 3, 6]
    assert len(read_video(data, fps=1000)) == len(UNEVEN)
    np.testing.assert_allclose(read_video(data, start_s=0.1, stop_s=0.9).times, UNEVEN[2:5], atol=2e-3)
    assert len(read_video(data, max_frames=3)) == 3


def test_one_frame(tmp_path):
    clip = read_video(write_video(scene(1), tmp_path / "one.mp4"))
    assert len(clip) == 1 and clip.fps is None and clip.times[0] == 0


def test_streaming_and_sampling_agree_with_reading(mp4):
    clip = read_video(mp4, fps=12.5)
    streamed = list(iter_frames(mp4, fps=12.5))
    np.testing.assert_array_equal(np.stack([f for _, f in streamed]), clip.frames)
    np.testing.assert_array_equal(sample_frames(mp4, 3).frames, read_video(mp4).frames[sample_indices(12, 3)])


def test_streaming_holds_a_few_frames_only(tmp_path):
    import tracemalloc

    path = write_video((f for _ in range(20) for f in scene(12, 240, 320)), tmp_path / "long.mp4")
    tracemalloc.start()
    count = sum(1 for _ in iter_frames(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 240 and peak < 20 * 240 * 320 * 3


# ---- pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees, corner", [(90, "upper right"), (180, "lower right"), (270, "lower left")])
def test_phones_store_rotation_beside_the_picture(mp4, degrees, corner):
    "The display matrix in the track header turns the picture clockwise; the red corner must go with it."
    data, one = bytearray(mp4.read_bytes()), 0x10000
    a, b, c, d = {90: (0, one, -one, 0), 180: (-one, 0, 0, -one), 270: (0, -one, one, 0)}[degrees]
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)
    frame = read_video(bytes(data)).frames[0]
    assert frame.shape == ((48, 64, 3) if degrees == 180 else (64, 48, 3))
    y, x = (0 if "upper" in corner else -1), (0 if "left" in corner else -1)
    assert frame[y, x, 0] > 180 and frame[y, x, 1] < 80


def test_a_folder_of_images_in_natural_order(tmp_path):
    for i, image in enumerate(scene(12)):
        Image.fromarray(image).save(tmp_path / f"image_{i}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    clip = read_video(tmp_path)
    assert [number(f) for f in clip.frames] == list(range(12))
    assert clip.fps == pytest.approx(25) and read_video(tmp_path, folder_fps=5).fps == pytest.approx(5)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16", "1", "LA"])
def test_any_kind_of_image(tmp_path, mode):
    grey = Image.fromarray(np.full((20, 30), 200, np.uint8))
    image = Image.fromarray(np.full((20, 30), 200 * 257, np.uint16)) if mode == "I;16" else grey.convert(mode)
    image.save(tmp_path / "a.png")
    frame = read_video(tmp_path).frames[0]
    assert frame.shape == (20, 30, 3)
    assert abs(float(frame.mean()) - (255 if mode == "1" else 200)) < 60


def test_exif_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(scene(1)[0]).save(tmp_path / "a.jpg", exif=exif, quality=95)
    frame = read_video(tmp_path).frames[0]
    assert frame.shape == (64, 48, 3) and frame[0, -1, 0] > 180 > 80 > frame[0, -1, 1]


def test_a_broken_image_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"broken")
    with pytest.raises(VideoError, match=r"a\.png"):
        read_video(tmp_path)


def test_unicode_paths(tmp_path):
    path = write_video(scene(3), tmp_path / "Gesicht größer 顔 😀.mp4")
    assert len(read_video(path)) == 3 and read_video(str(path)).id == path.name


def test_max_side_reduces_while_decoding(mp4):
    assert read_video(mp4, max_side=32).frames.shape[1:3] == (24, 32)
    assert read_video(mp4, max_side=999).frames.shape[1:3] == (48, 64)


# ---- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_round_trip_with_uneven_times(tmp_path, suffix):
    clip = Clip(scene(7), np.array(UNEVEN))
    back = read_video(write_video(clip, tmp_path / f"a{suffix}"))
    np.testing.assert_allclose(back.times, UNEVEN, atol=2e-3)
    assert [number(f) for f in back.frames] == list(range(7))


def test_odd_sizes(tmp_path):
    assert read_video(write_video(scene(2, 47, 63), tmp_path / "a.mp4")).frames.shape[1:3] == (48, 64)


def test_writing_that_fails_leaves_nothing(tmp_path):
    def broken():
        yield from scene(2)
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        write_video(broken(), tmp_path / "a.mp4")
    with pytest.raises(VideoError, match="one size"):
        write_video([scene(1)[0], scene(1, 20, 20)[0]], tmp_path / "a.mp4")
    with pytest.raises(VideoError, match="no frame"):
        write_video([], tmp_path / "a.mp4")
    with pytest.raises(VideoError, match=r"\.mp4 or \.webm"):
        write_video(scene(1), tmp_path / "a.xyz")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(VideoError, match="cannot be written"):
        write_video(scene(1), tmp_path / "file" / "a.mp4")


# ---- clips -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frames, hint",
    [
        (np.zeros((5, 8, 8), np.uint8), "np.repeat"), (np.zeros((5, 3, 8, 8), np.uint8), "transpose"),
        (np.zeros((5, 8, 8, 4), np.uint8), "fourth channel"),
        (np.zeros((5, 8, 8, 3)), "astype"), (np.zeros((0, 8, 8, 3), np.uint8), "at least one"), ([[1]], "np.stack"),
    ],
)  # fmt: skip
def test_a_clip_says_how_to_convert(frames, hint):
    with pytest.raises(InputError, match=hint):
        Clip(frames, np.arange(len(frames)) / 25)


def test_clip_times_and_parts():
    clip = Clip(scene(10), np.arange(10) / 25, found=np.arange(10) % 2 == 0)
    assert len(clip[2:6]) == 4 and clip[2:6].times[0] == 0.08 and clip[2:6].found.tolist() == [True, False, True, False]
    for times in ([0.0] * 9, [0.3, 0.2, *[1.0] * 8], [np.nan] * 10):
        with pytest.raises(InputError, match="times"):
            Clip(scene(10), np.array(times))


@needs_videos
@pytest.mark.parametrize(
    "name, frames, size",
    [
        ("single_face.mp4", 72, (360, 640)),
        ("WolfgangLanger_Pexels.mp4", 472, (360, 640)),
        ("face_noface.mov", 169, (540, 960)),
        ("no_face.mp4", 95, (540, 960)),
    ],
)
def test_real_videos(name, frames, size):
    clip = read_video(VIDEOS / name)
    assert clip.frames.shape == (frames, *size, 3) and 23 < clip.fps < 31 and not clip.warnings
    assert (np.diff(clip.times) > 0).all()


@needs_videos
def test_mutated_real_videos_never_crash():
    data, rng = (VIDEOS / "no_face.mp4").read_bytes(), np.random.default_rng(0)
    for _ in range(12):
        broken = bytearray(data)
        for at in rng.integers(0, len(broken), 40):
            broken[at] = rng.integers(0, 256)
        try:
            assert read_video(bytes(broken), fps=5).frames.dtype == np.uint8
        except VideoError as e:
            assert str(e)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="cannot be written"):
        write_video(scene(1), tmp_path / "a.mp4")


# ---- more of the same, where it is easy to get wrong -----------------------------------------------------------------


def test_every_reader_checks_its_arguments(mp4):
    for read in (read_video, sample_frames, lambda source, **how: list(iter_frames(source, **how))):
        for how in (
            dict(max_side=0),
            dict(max_side=-5),
            dict(start_s=0.2, stop_s=0.2),
            dict(fps=0),
            dict(folder_fps=0),
        ):
            with pytest.raises(VideoError, match=next(reversed(how))):
                read(mp4, **how)
    with pytest.raises(VideoError, match="n must be at least 1 frame, got 0"):
        sample_frames(mp4, n=0)


def test_aac_in_mp4_has_no_picture(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as c:
        s = c.add_stream("aac", rate=16000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate, sound.pts = 16000, 0
        c.mux(s.encode(sound))
        c.mux(s.encode())
    with pytest.raises(VideoError, match="only sound"):
        read_video(tmp_path / "a.mp4")


def test_an_index_without_pictures_is_an_error(mp4):
    data = mp4.read_bytes()
    with pytest.raises(VideoError, match="damaged or cut short"):
        read_video(data[: data.index(b"mdat") + 4])


def test_damage_in_the_middle_is_noted_and_passed_over(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), dtype=np.uint8)
    data = bytearray(write_video(noise, tmp_path / "a.mp4").read_bytes())
    start = data.index(b"mdat") + len(data) // 3
    data[start : start + 3000] = bytes(3000)
    clip = read_video(bytes(data))
    assert len(clip) > 20 and clip.times[-1] > 1.4 and any("damaged" in text for text in clip.warnings)


@pytest.mark.parametrize(
    "how", [{}, dict(fps=10), dict(start_s=0.1, stop_s=0.4), dict(fps=7, start_s=0.1, max_side=32)], ids=str
)
@pytest.mark.parametrize("kind", ["mp4", "webm", "folder"])
def test_readers_agree_for_every_source(mp4, tmp_path, kind, how):
    source = mp4 if kind == "mp4" else mux(UNEVEN, "webm").getvalue()
    if kind == "folder":
        source = tmp_path / "images"
        source.mkdir()
        for i, image in enumerate(scene(12)):
            Image.fromarray(image).save(source / f"{i}.png")
    clip = read_video(source, **how)
    assert [t for t, _ in iter_frames(source, **how)] == clip.times.tolist()
    np.testing.assert_array_equal([f for _, f in iter_frames(source, **how)], clip.frames)
    for n in (1, 2, 3, 100):
        some, expected = sample_frames(source, n, **how), clip[sample_indices(len(clip), n)]
        np.testing.assert_array_equal(some.frames, expected.frames)
        assert some.times.tolist() == expected.times.tolist() and some.id == clip.id


def test_images_of_different_sizes(tmp_path):
    for name, size in (("1", (48, 64)), ("2", (96, 128)), ("3", (48, 64))):
        Image.fromarray(scene(1, *size)[0]).save(tmp_path / f"{name}.png")
    clip = read_video(tmp_path)
    assert clip.frames.shape == (3, 48, 64, 3) and clip.warnings == (
        "Frames differ in size; they were resized to 64x48.",
    )
    Image.fromarray(scene(1, 64, 48)[0]).save(tmp_path / "3.png")
    with pytest.raises(VideoError, match=r"3\.png \(first: 1\.png\): 48x64 has another shape than 64x48"):
        read_video(tmp_path)


def test_sixteen_bits_keep_their_brightness_in_both_byte_orders(tmp_path):
    ramp = np.linspace(0, 255, 48 * 64).round().reshape(48, 64).astype(np.uint16)
    for order, mode in (("<u2", "I;16"), (">u2", "I;16B")):
        Image.frombytes(mode, (64, 48), (ramp * 257).astype(order).tobytes()).save(tmp_path / "a.tif")
        np.testing.assert_array_equal(read_video(tmp_path).frames[0, ..., 1], ramp)


@pytest.mark.parametrize("matrix, kr, kb", [(1, 0.2126, 0.0722), (6, 0.299, 0.114)], ids=["BT.709", "BT.601"])
def test_colours_follow_the_matrix_named_in_the_file(tmp_path, matrix, kr, kb):
    "Phones tag their videos BT.709; read with the matrix of BT.601, skin changes its hue."
    r, g, b = np.array([200, 60, 40]) / 255
    y = kr * r + (1 - kr - kb) * g + kb * b
    planes = (
        (16 + 219 * y, 48 * 64),
        (128 + 112 * (b - y) / (1 - kb), 24 * 32),
        (128 + 112 * (r - y) / (1 - kr), 24 * 32),
    )
    yuv = np.concatenate([np.full(count, round(value), np.uint8) for value, count in planes]).reshape(72, 64)
    with av.open(str(tmp_path / "a.mp4"), "w") as c:
        s = c.add_stream("libx264", rate=25, options={"crf": "1"})
        s.width, s.height, s.pix_fmt, s.codec_context.colorspace = 64, 48, "yuv420p", matrix
        c.mux(s.encode(av.VideoFrame.from_ndarray(yuv, format="yuv420p")))
        c.mux(s.encode())
    for how in ({}, dict(max_side=32)):
        assert np.abs(read_video(tmp_path / "a.mp4", **how).frames.astype(int) - (200, 60, 40)).max() <= 5


@pytest.mark.parametrize("rate, fps", [(25, 25), (30, 25), (30, 10), (29.97, 25), (50, 25), (60, 24), (24, 23.976)])
def test_sampling_keeps_the_wanted_number_of_frames(tmp_path, rate, fps):
    path = write_video(np.zeros((round(4 * rate), 16, 16, 3), np.uint8), tmp_path / "a.mp4", fps=rate)
    times = read_video(path, fps=fps).times
    assert abs(len(times) - 4 * fps) <= 1
    early = np.arange(len(times)) / fps - times
    assert (
        early.max() <= 0.0011 and -early.min() < 1 / rate + 1e-4
    )  # a slot begins a millisecond early, for rounded time stamps


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_frames_of_one_moment_can_be_written(tmp_path, suffix):
    "A clip may hold two frames of one moment; a file cannot."
    times = [0, 0.04, 0.04, 0.04, 0.0400001, 0.2]
    back = read_video(write_video(Clip(scene(6), times), tmp_path / f"a{suffix}"))
    np.testing.assert_allclose(back.times[[0, 1, -1]], [0, 0.04, 0.2], atol=1e-3)
    assert (np.diff(back.times) > 0).all() and [number(f) for f in back.frames[[0, -1]]] == [0, 5]
    assert suffix == ".webm" or len(back) == 6  # webm counts milliseconds


def test_a_failed_write_keeps_the_older_file(mp4):
    def broken():
        yield from scene(12)
        raise RuntimeError("the camera was unplugged")

    before = mp4.read_bytes()
    for frames, error in ((broken(), RuntimeError), ([], VideoError), (scene(3) / 255, InputError)):
        with pytest.raises(error):
            write_video(frames, mp4)
    assert mp4.read_bytes() == before and list(mp4.parent.iterdir()) == [mp4]
    assert write_video(scene(2), mp4.parent / "new" / "folder" / "a.mp4").exists()


def test_parts_of_a_clip():
    clip = Clip(scene(10), np.array([*UNEVEN, 2, 3, 4]), "S1", 2, "a", np.arange(10) % 3 == 0, ("dark",))
    for index, expected in (
        (slice(2, 5), [2, 3, 4]),
        (3, [3]),
        (-1, [9]),
        ([1, 7], [1, 7]),
        (np.arange(10) > 7, [8, 9]),
    ):
        part = clip[index]
        assert [number(f) for f in part.frames] == expected and part.times.tolist() == clip.times[expected].tolist()
        assert part.found.tolist() == clip.found[expected].tolist()
        assert (part.subject, part.label, part.id, part.warnings) == ("S1", 2, "a", ("dark",))
    for index in (slice(4, 4), [], slice(None, None, -1)):
        with pytest.raises(InputError):
            clip[index]
    with pytest.raises(IndexError):
        clip[10]
    for found in ([True] * 9, [1, 0] * 5):
        with pytest.raises(InputError, match="found must be bool"):
            clip.replace(found=found)


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_cropped_clip_says_so_in_its_file(tmp_path, suffix):
    clip = Clip(np.random.default_rng(0).integers(0, 255, (6, 32, 32, 3), dtype=np.uint8), np.arange(6) / 25)
    plain = write_video(clip, tmp_path / f"plain{suffix}")
    faces = write_video(clip.replace(found=np.ones(6, bool)), tmp_path / f"faces{suffix}")
    partly = write_video(clip.replace(found=np.arange(6) > 2), tmp_path / f"partly{suffix}")
    assert [is_cropped(p) for p in (plain, faces, partly)] == [False, True, False]
    assert is_cropped(faces.read_bytes()) and not is_cropped(b"no video") and not is_cropped(tmp_path)
    assert read_video(faces).found.all() and read_video(plain).found is None


def test_a_title_in_an_old_encoding_does_not_matter(tmp_path):
    path = tmp_path / "latin.avi"
    with av.open(path, "w") as c:
        c.metadata["title"] = "Pruefung"
        s = c.add_stream("mpeg4", rate=25)
        s.width, s.height = 32, 32
        for _ in range(5):
            c.mux(s.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")))
        c.mux(s.encode(None))
    utf8 = path.read_bytes()
    assert utf8.count(b"Pruefung") == 1
    path.write_bytes(utf8.replace(b"Pruefung", "Prüfung.".encode("latin-1")))  # no UTF-8, of the same length
    if int(av.__version__.split(".")[0]) < 19:
        with pytest.raises(UnicodeDecodeError):
            av.open(path)
    assert len(read_video(path)) == 5 and not is_cropped(path)
