"Video: what can be read and what is refused, times, sampling, upright pictures, memory, writing, and the clip itself."
import dataclasses
import io
import os
import struct
import tracemalloc
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from clip_autt import video as module
from clip_autt.errors import ClipAUTTError, InputError, VideoError
from clip_autt.video import (Clip, check_frames, clip_id, film_strip, iter_frames, read_video, sample_frames, sample_indices, steady,
                             write_video)

SHARED = Path(__file__).parents[2] / 'shared'
UNEVEN = np.array([0, .04, .12, .16, .36, .4, .44, .9, .95, 1.3])  # seconds


# Videos made here, by PyAV alone

def grey(n, height=48, width=64):
    "`n` frames; frame i has the brightness 20 + 4i, so a decoded frame tells its number."
    return np.full((n, height, width, 3), (20 + 4 * np.arange(n) % 220)[:, None, None, None], np.uint8)


def numbers(frames): return [round((f.mean() - 20) / 4) for f in frames]


def encode(target, frames, times=None, codec='libx264', options=None, header=None, format=None, rotation=None):
    "Write frames at the given seconds (25 a second if None), without clip_autt."
    with av.open(target, 'w', format=format, options=header or {}) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], 'yuv420p'
        stream.codec_context.time_base = Fraction(1, 1000)
        for i, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format='rgb24')
            frame.pts, frame.time_base = round(1000 * (i / 25 if times is None else times[i])), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return target


def webm_bytes(frames, times):
    "What a browser's recorder sends: VP8 in WebM, without a duration and without an index."
    return encode(io.BytesIO(), frames, times, 'libvpx', {'deadline': 'realtime'}, {'live': '1'}, 'webm').getvalue()


def save_images(folder, named):
    for name, image in named.items(): (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(folder / name)
    return folder


@pytest.fixture(scope='module')
def noise(): return np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), dtype=np.uint8)


@pytest.fixture(scope='module')
def files(tmp_path_factory, noise):
    "The same 40 frames in each of the common forms, by name."
    folder = tmp_path_factory.mktemp('files')
    images = folder / 'images'
    images.mkdir()
    save_images(images, {f'frame{i}.png': f for i, f in enumerate(noise)})
    return {'mp4': write_video(noise, folder / 'a.mp4'), 'webm': webm_bytes(noise, np.arange(40) / 25), 'images': images,
            'uneven': write_video(Clip(grey(10), UNEVEN), folder / 'uneven.mp4')}


# What is refused

@pytest.mark.parametrize('make, says', [
    (lambda d: d / 'missing.mp4', 'No such file'),
    (lambda d: d, 'in this folder'),
    (lambda d: (d / 'empty.mp4').touch() or d / 'empty.mp4', r'empty \(0 bytes\)'),
    (lambda d: b'', r'empty \(0 bytes\)'),
    (lambda d: bytes(range(256)) * 40, 'The video in memory: not a video'),
    (lambda d: (d / 'garbage.mp4').write_bytes(b'garbage' * 999) and d / 'garbage.mp4', 'garbage.mp4: not a video'),
    (lambda d: 'https://example.org/a.mp4', 'Download the video'),
    (lambda d: 'a\0b.mp4', 'Check the path'),
    (lambda d: 'x' * 5000, 'Check the path'),
    (lambda d: 7, 'a path or bytes, got int'),
    (lambda d: None, 'a path or bytes, got NoneType'),
])
@pytest.mark.parametrize('read', [read_video, sample_frames, lambda source: list(iter_frames(source))], ids=['read', 'sample', 'iter'])
def test_what_is_no_video_is_refused(tmp_path, make, says, read):
    with pytest.raises(VideoError, match=says): read(make(tmp_path))


def test_folder_with_other_files_only_is_refused(tmp_path):
    (tmp_path / 'notes.txt').write_text('x')
    (tmp_path / '._a.png').write_text('left by another system')
    with pytest.raises(VideoError, match='Give the folder of the frames'): read_video(tmp_path)


@pytest.mark.parametrize('kind', ['wav', 'aac'])
def test_sound_alone_is_refused(tmp_path, kind):
    path = tmp_path / ('a.wav' if kind == 'wav' else 'a.mp4')
    if kind == 'wav':
        with wave.open(str(path), 'wb') as sound:
            sound.setnchannels(1), sound.setsampwidth(2), sound.setframerate(8000), sound.writeframes(bytes(8000))
    else:
        with av.open(str(path), 'w') as container:
            stream = container.add_stream('aac', rate=16000, layout='mono')
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format='fltp', layout='mono')
            frame.sample_rate, frame.pts = 16000, 0
            container.mux(stream.encode(frame)), container.mux(stream.encode())
    with pytest.raises(VideoError, match='only sound'): read_video(path)


def test_lists_of_other_files_are_not_followed(tmp_path, files):
    "A playlist could make the reader open any file or address."
    for text in (f'ffconcat version 1.0\nfile {files["mp4"].name}\n', f'#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{files["mp4"]}\n'):
        path = files['mp4'].with_name('list.mp4')
        path.write_text(text)
        with pytest.raises(VideoError, match='not a video'): read_video(path)


@pytest.mark.parametrize('how, says', [
    ({'fps': 0}, 'fps must be a positive'), ({'fps': -5}, 'got -5'), ({'fps': float('nan')}, 'got nan'), ({'fps': float('inf')}, 'got inf'),
    ({'start_s': -1}, 'start_s must be 0 or more'), ({'stop_s': 0}, 'stop_s must be'), ({'start_s': 1, 'stop_s': 1}, 'later than start_s=1'),
    ({'start_s': 1, 'stop_s': .5}, 'later than start_s=1'), ({'max_side': 0}, 'max_side must be'), ({'folder_fps': 0}, 'folder_fps'),
    ({'start_s': 60}, r'no frame from 60 s to inf s; one was seen at 1.56 s'), ({'start_s': 1.561, 'stop_s': 1.6}, 'no frame'),
])
def test_impossible_wishes_are_refused(files, how, says):
    for read in (read_video, sample_frames, lambda source, **how: list(iter_frames(source, **how))):
        with pytest.raises(VideoError, match=says): read(files['mp4'], **how)


def test_counts_below_one_are_refused(files):
    for n in (0, -3):
        with pytest.raises(VideoError, match=f'max_frames must be at least 1, got {n}'): read_video(files['mp4'], max_frames=n)
        with pytest.raises(VideoError, match=f'n must be at least 1 frame, got {n}'): sample_frames(files['mp4'], n=n)


# Damage

def test_half_a_file_gives_its_frames_and_a_warning(files, tmp_path):
    whole, half = read_video(files['mp4']), tmp_path / 'half.mp4'
    data = files['mp4'].read_bytes()
    half.write_bytes(data[:len(data) // 2])
    clip = read_video(half)
    assert 12 <= len(clip) <= 24
    assert np.array_equal(clip.frames[:12], whole.frames[:12]) and np.array_equal(clip.times[:12], whole.times[:12])
    assert any('1.6 s' in text and 'cut short' in text for text in clip.warnings)
    assert whole.warnings == ()


def test_damage_in_the_middle_is_noted_and_passed_over(files):
    data = bytearray(files['mp4'].read_bytes())
    start = data.index(b'mdat') + len(data) // 3
    data[start:start + 3000] = bytes(3000)
    clip = read_video(bytes(data))
    assert len(clip) > 20 and clip.times[-1] > 1.4
    assert any('damaged' in text for text in clip.warnings)
    assert sample_frames(bytes(data), 4).warnings == clip.warnings


@pytest.mark.parametrize('keep', ['index', 'part of the index', 'type'])
def test_a_header_alone_is_refused(files, keep):
    data = files['mp4'].read_bytes()
    end = {'index': data.index(b'mdat') + 4, 'part of the index': data.index(b'stbl'), 'type': 30}[keep]
    with pytest.raises(VideoError, match='damaged or was cut short' if keep == 'index' else 'not a video'): read_video(data[:end])


# Times

def test_one_frame(files, tmp_path):
    clip = read_video(write_video(grey(1), tmp_path / 'one.mp4'))
    assert clip.frames.shape == (1, 48, 64, 3) and clip.times.tolist() == [0] and clip.fps is None and clip.duration_s == 0
    assert len(sample_frames(tmp_path / 'one.mp4')) == 1 and len(read_video(tmp_path / 'one.mp4', fps=2)) == 1


def test_uneven_times_are_kept(files, tmp_path):
    encode(str(tmp_path / 'by_pyav.mp4'), grey(10), UNEVEN)
    for path in (files['uneven'], tmp_path / 'by_pyav.mp4'):
        clip = read_video(path)
        assert numbers(clip.frames) == list(range(10))
        np.testing.assert_allclose(clip.times, UNEVEN, atol=1e-4)


def test_uneven_times_are_sampled_by_time(files):
    clip = read_video(files['uneven'], fps=5)  # slots begin at -.05, .15, .35, .55 (empty), .75, .95 and 1.15 s
    np.testing.assert_allclose(clip.times, [0, .16, .36, .9, .95, 1.3], atol=1e-4)
    assert numbers(clip.frames) == [0, 3, 4, 7, 8, 9]


def test_a_higher_rate_invents_nothing(files):
    for source in (files['uneven'], files['mp4'], files['images']):
        whole, fast = read_video(source), read_video(source, fps=240)
        assert np.array_equal(whole.times, fast.times) and np.array_equal(whole.frames, fast.frames)


@pytest.mark.parametrize('rate, fps', [(25, 25), (30, 25), (30, 30), (30, 10), (29.97, 25), (50, 25), (60, 24), (24, 23.976)])
def test_sampling_keeps_the_wanted_number(tmp_path, rate, fps):
    moments = module._select(((i / rate, i) for i in range(round(8 * rate))), 'v', fps, None, None)
    times = np.array([t for t, _ in moments])
    assert abs(len(times) - 8 * fps) <= 1
    assert np.abs(times - np.arange(len(times)) / fps).max() < 1 / rate


def test_part_of_a_video(files):
    whole, part = read_video(files['mp4']), read_video(files['mp4'], start_s=.4, stop_s=.8)
    assert np.array_equal(part.frames, whole.frames[10:20]) and np.array_equal(part.times, whole.times[10:20])
    assert len(read_video(files['mp4'], max_frames=7)) == 7 and len(read_video(files['mp4'], max_frames=700)) == 40
    np.testing.assert_allclose(read_video(files['mp4'], fps=5, start_s=.4, max_frames=3).times, [.4, .6, .8], atol=1e-4)


def test_live_webm_from_memory():
    data = webm_bytes(grey(10), UNEVEN)
    with av.open(io.BytesIO(data)) as container: assert container.duration is None and container.streams.video[0].frames == 0
    for source in (data, bytearray(data), memoryview(data)):
        clip = read_video(source)
        np.testing.assert_allclose(clip.times, UNEVEN, atol=1.1e-3)
        assert numbers(clip.frames) == list(range(10)) and clip.warnings == () and clip.id == clip_id(data)


def test_fragmented_mp4_starts_at_zero():
    header = {'movflags': 'frag_keyframe+empty_moov+default_base_moof'}
    data = encode(io.BytesIO(), grey(30), options={'bf': '2'}, header=header, format='mp4').getvalue()
    with av.open(io.BytesIO(data)) as container: assert next(container.decode(video=0)).time > .01
    clip = read_video(data)
    np.testing.assert_allclose(clip.times, np.arange(30) / 25, atol=1e-3)
    assert numbers(clip.frames) == list(range(30)) and clip.warnings == ()


@pytest.mark.parametrize('given, kept', [
    ([5, 5.1, 5.2], [0, .1, .2]), ([None, None, None], [0, .1, .2]), ([0, None, .2], [0, .1, .2]), ([0, .1, .1, .05, .2], [0, .1, .2]),
    ([8, 8.1, 0, .1], [0, .1, .2, .3]), ([-.2, -.1, 0], [0, .1, .2]), ([0, 9, 9.1], [0, 9, 9.1]), ([], []),
])
def test_clock_is_steady(given, kept):
    moments = list(steady(zip(given, range(9)), .1))
    np.testing.assert_allclose([t for t, _ in moments], kept, atol=1e-9)


# Upright pictures

def corner(height=48, width=64):
    "Black with a white top left quarter."
    image = np.zeros((height, width, 3), np.uint8)
    image[:height // 2, :width // 2] = 255
    return image


def turned(path, matrix):
    "The mp4 at `path` with the matrix (a, b, c, d) of its track header: x' = ax + cy, y' = bx + dy, with y downwards."
    data = bytearray(path.read_bytes())
    a, b, c, d = (65536 * v for v in matrix)
    struct.pack_into('>9i', data, data.index(b'tkhd') + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    return bytes(data)


@pytest.mark.parametrize('clockwise, matrix', [(0, (1, 0, 0, 1)), (90, (0, 1, -1, 0)), (180, (-1, 0, 0, -1)), (270, (0, -1, 1, 0))])
def test_phone_videos_are_upright(tmp_path, clockwise, matrix):
    data = turned(write_video(corner()[None].repeat(3, 0), tmp_path / 'a.mp4', crf=1), matrix)
    upright = np.rot90(corner(), -clockwise // 90)
    clip = read_video(data)
    assert clip.frames.shape[1:] == upright.shape
    assert np.abs(clip.frames.astype(int) - upright).mean() < 8
    assert read_video(data, max_side=32).frames.shape[1:] == tuple(side // 2 for side in upright.shape[:2]) + (3,)
    assert np.array_equal(sample_frames(data, 2).frames, clip.frames[[0, 2]])


@pytest.mark.parametrize('matrix, space', [(1, 'bt709'), (6, 'smpte170m')])
def test_colours_follow_the_matrix_named_in_the_file(tmp_path, matrix, space):
    "Phones tag their videos BT.709; read with the matrix of BT.601, skin changes its hue."
    red = np.full((3, 48, 64, 3), (200, 60, 40), np.uint8)
    path = tmp_path / 'a.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25, options={'crf': '1'})
        stream.height, stream.width, stream.pix_fmt, stream.codec_context.colorspace = 48, 64, 'yuv420p', matrix
        for image in red:
            kr, kb = (.2126, .0722) if matrix == 1 else (.299, .114)
            r, g, b = image[0, 0] / 255
            y = kr * r + (1 - kr - kb) * g + kb * b
            planes = [16 + 219 * y, 128 + 112 * (b - y) / (1 - kb), 128 + 112 * (r - y) / (1 - kr)]
            sizes = [(48, 64), (24, 32), (24, 32)]
            yuv = np.concatenate([np.full(h * w, round(v), np.uint8) for v, (h, w) in zip(planes, sizes)]).reshape(72, 64)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(yuv, format='yuv420p')))
        container.mux(stream.encode())
    for how in ({}, {'max_side': 32}):
        assert np.abs(read_video(path, **how).frames.astype(int) - (200, 60, 40)).max() <= 5, space


def test_max_side_reduces_and_never_enlarges(files, tmp_path):
    assert read_video(files['mp4'], max_side=32).frames.shape == (40, 24, 32, 3)
    assert read_video(files['mp4'], max_side=1000).frames.shape == (40, 48, 64, 3)
    assert read_video(files['images'], max_side=32).frames.shape == (40, 24, 32, 3)
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], (48, 1, 3))[None].repeat(2, 0)
    small = read_video(write_video(ramp, tmp_path / 'ramp.mp4', crf=1), max_side=32).frames[0]
    assert np.abs(small.astype(int) - ramp[0].reshape(24, 2, 32, 2, 3).mean((1, 3))).max() < 6


# Images

def test_folder_is_in_natural_order(tmp_path):
    order = [0, 1, 2, 9, 10, 11, 100]
    save_images(tmp_path, {f'img{i}.png': grey(1)[0] + 2 * i for i in reversed(order)})
    (tmp_path / 'notes.txt').write_text('not a frame')
    clip = read_video(tmp_path, folder_fps=10)
    assert [(int(f.mean()) - 20) // 2 for f in clip.frames] == order
    np.testing.assert_allclose(clip.times, np.arange(7) / 10)
    assert clip.id == tmp_path.name and clip.warnings == ()


@pytest.mark.parametrize('suffix', ['.png', '.JPG', '.jpeg', '.webp', '.bmp', '.tif', '.TIFF'])
def test_image_formats(tmp_path, suffix):
    save_images(tmp_path, {f'a{suffix}': grey(1)[0]})
    for source in (tmp_path, tmp_path / f'a{suffix}'):
        clip = read_video(source)
        assert clip.frames.shape == (1, 48, 64, 3) and abs(clip.frames.astype(int) - 20).max() <= 2


ramp = np.linspace(0, 255, 48 * 64).round().reshape(48, 64).astype(np.uint8)


@pytest.mark.parametrize('image', [
    Image.fromarray(ramp), Image.fromarray(ramp).convert('LA'), Image.fromarray(ramp).convert('RGBA'), Image.fromarray(ramp).convert('P'),
    Image.fromarray(ramp.astype(np.uint16) * 257), Image.fromarray(ramp.astype(np.int32) * 257)], ids=lambda i: i.mode)
def test_pixel_formats_become_rgb(tmp_path, image):
    save_images(tmp_path, {'a.png': image})
    clip = read_video(tmp_path)
    assert np.abs(clip.frames[0].astype(int) - ramp[..., None]).max() <= 1


def test_sixteen_bits_in_both_byte_orders(tmp_path):
    (tmp_path / 'a').mkdir(), (tmp_path / 'b').mkdir()
    deep = ramp.astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / 'a' / 'a.tif')
    big = Image.frombytes('I;16B', (64, 48), deep.astype('>u2').tobytes())
    big.save(tmp_path / 'b' / 'a.tif')
    for folder in 'ab': assert np.array_equal(read_video(tmp_path / folder).frames[0], np.repeat(ramp[..., None], 3, -1))


def test_images_that_cannot_be_shown_are_refused(tmp_path):
    path = tmp_path / 'a.tif'
    Image.fromarray(np.zeros((8, 8), np.float32)).save(path)
    with pytest.raises(VideoError, match='floating-point'): read_video(tmp_path)
    path.write_bytes(b'no image')
    with pytest.raises(VideoError, match=r'a\.tif: cannot be read as an image'): read_video(tmp_path)
    path.unlink()
    save_images(tmp_path, {'b.png': np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)})
    (tmp_path / 'b.png').write_bytes((tmp_path / 'b.png').read_bytes()[:3000])
    with pytest.raises(VideoError, match=r'b\.png: cannot be read as an image'): read_video(tmp_path)


@pytest.mark.parametrize('orientation, upright', [(1, corner()), (2, np.fliplr(corner())), (3, np.rot90(corner(), 2)),
                                                  (6, np.rot90(corner(), -1)), (8, np.rot90(corner()))], ids=[1, 2, 3, 6, 8])
def test_exif_orientation(tmp_path, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(corner()).save(tmp_path / 'a.png', exif=exif)
    assert np.array_equal(read_video(tmp_path).frames[0], upright)


def test_images_of_different_sizes(tmp_path):
    save_images(tmp_path, {'1.png': corner(), '2.png': corner(96, 128), '3.png': corner()})
    clip = read_video(tmp_path)
    assert clip.frames.shape == (3, 48, 64, 3) and np.abs(clip.frames[1].astype(int) - corner()).mean() < 8
    assert clip.warnings == ('Frames differ in size; they were resized to 64x48.',)
    save_images(tmp_path, {'3.png': corner(64, 48)})
    with pytest.raises(VideoError, match=r'3\.png \(first: 1\.png\): 48x64 has another shape than 64x48'): read_video(tmp_path)


# The three readers agree

WAYS = [{}, {'fps': 10}, {'start_s': .3, 'stop_s': 1.2}, {'fps': 7, 'start_s': .3, 'max_side': 32}]


@pytest.mark.parametrize('how', WAYS, ids=str)
@pytest.mark.parametrize('kind', ['mp4', 'webm', 'images', 'uneven'])
def test_readers_agree(files, kind, how):
    clip = read_video(files[kind], **how)
    check_frames(clip.frames)
    streamed = list(iter_frames(files[kind], **how))
    assert [t for t, _ in streamed] == clip.times.tolist() and np.array_equal([f for _, f in streamed], clip.frames)
    for n in (1, 2, 3, 8, 100):
        some, expected = sample_frames(files[kind], n, **how), clip[sample_indices(len(clip), n)]
        assert np.array_equal(some.times, expected.times) and np.array_equal(some.frames, expected.frames) and some.id == clip.id


def test_kinds_agree(files):
    mp4, webm, images = (read_video(files[kind]) for kind in ('mp4', 'webm', 'images'))
    np.testing.assert_allclose(mp4.times, images.times, atol=1e-4)
    np.testing.assert_allclose(webm.times, images.times, atol=1e-3)
    assert np.array_equal(read_video(files['mp4'].read_bytes()).frames, mp4.frames)
    assert np.array_equal(read_video(str(files['mp4'])).frames, mp4.frames)
    assert not np.shares_memory(*[f for _, f in iter_frames(files['mp4'], stop_s=.08)])


def test_sample_indices_are_spread_over_the_whole():
    for n in (1, 2, 3, 8, 16):
        for length in (*range(1, 70), 1000, 99_999):
            picked = sample_indices(length, n)
            assert len(picked) == min(n, length) and picked[0] == 0 and picked[-1] < length
            steps = np.diff(picked)
            assert (steps > 0).all() and (n == 1 or length <= n or np.ptp(steps) <= length / n + 1)
            assert n == 1 or length - 1 - picked[-1] <= length / n


def test_unicode_paths(files, tmp_path, monkeypatch):
    folder = tmp_path / 'Vidéos 視頻 100% #1'
    path = write_video(grey(3), folder / 'Zoë – 😀.mp4')
    assert path.exists() and read_video(path).id == 'Zoë – 😀.mp4' and len(sample_frames(str(path))) == 3
    monkeypatch.chdir(folder)
    (folder / 'concat:a.mp4').write_bytes(path.read_bytes())
    assert len(read_video('concat:a.mp4')) == 3
    monkeypatch.setenv('HOME', str(folder))
    assert len(read_video('~/concat:a.mp4')) == 3


# Memory

@pytest.fixture(scope='module')
def long_video(tmp_path_factory):
    "400 frames 320x240: 92 MB of pixels."
    image = np.zeros((240, 320, 3), np.uint8)
    return write_video((image for _ in range(400)), tmp_path_factory.mktemp('long') / 'long.mp4', crf=40)


def peak(run):
    "The most bytes that Python and NumPy held while `run` was running, and what it returned."
    tracemalloc.start()
    try: return run(), tracemalloc.get_traced_memory()[1]
    finally: tracemalloc.stop()


def test_streaming_needs_the_memory_of_a_few_frames(long_video):
    count, most = peak(lambda: sum(1 for _ in iter_frames(long_video)))
    assert count == 400 and most < 8 * 240 * 320 * 3


def test_reading_does_not_hold_the_frames_twice(long_video):
    clip, most = peak(lambda: read_video(long_video))
    assert len(clip) == 400 and most < 1.4 * clip.frames.nbytes


class Picture:
    "A decoded frame that counts how many of its kind are alive."
    alive = most = 0

    def __init__(self):
        Picture.alive += 1
        Picture.most = max(Picture.most, Picture.alive)

    def __del__(self): Picture.alive -= 1


def test_sampling_holds_few_frames(files, monkeypatch):
    monkeypatch.setattr(module, '_pictures', lambda *_: ((i / 25, Picture()) for i in range(5000)))
    monkeypatch.setattr(module, '_to_rgb', lambda *_: corner())
    Picture.alive = Picture.most = 0
    assert len(sample_frames(files['mp4'], n=8)) == 8 and 16 <= Picture.most <= 18


def test_files_are_closed(files):
    "A reader that is dropped half way does not keep its file open."
    descriptors = Path('/dev/fd')
    before = len(os.listdir(descriptors))
    for _ in range(20): next(iter_frames(files['mp4']))
    for _ in range(20):
        with pytest.raises(VideoError): read_video(files['mp4'], start_s=60)
    assert len(os.listdir(descriptors)) <= before + 1


# Writing

@pytest.mark.parametrize('suffix', ['.mp4', '.webm', '.MP4'])
def test_odd_sizes_are_extended(tmp_path, suffix):
    image = np.repeat(ramp[:47, :63, None], 3, -1)
    path = write_video(np.stack([image] * 3), tmp_path / f'a{suffix}', crf=1)
    clip = read_video(path)
    assert clip.frames.shape == (3, 48, 64, 3)
    assert np.abs(clip.frames[:, :47, :63].astype(int) - image).max() < 12
    assert np.abs(clip.frames[:, 47].astype(int) - clip.frames[:, 46]).max() < 12


@pytest.mark.parametrize('suffix, atol', [('.mp4', 1e-5), ('.webm', 6e-4)])
def test_times_survive_a_round_trip(tmp_path, suffix, atol):
    part = Clip(grey(10), UNEVEN + 3)
    back = read_video(write_video(part, tmp_path / f'a{suffix}'))
    np.testing.assert_allclose(back.times, UNEVEN, atol=atol)
    assert numbers(back.frames) == list(range(10)) and back.warnings == ()
    even = read_video(write_video(part, tmp_path / f'b{suffix}', fps=10))
    np.testing.assert_allclose(even.times, np.arange(10) / 10, atol=atol)


@pytest.mark.parametrize('suffix', ['.mp4', '.webm'])
def test_equal_times_can_be_written(tmp_path, suffix):
    "A clip may hold two frames of one moment; a file cannot."
    times = [0, .04, .04, .04, .0400001, .2]
    back = read_video(write_video(Clip(grey(6), times), tmp_path / f'a{suffix}'))
    np.testing.assert_allclose(back.times[[0, 1, -1]], [0, .04, .2], atol=1e-3)
    assert (np.diff(back.times) > 0).all() and numbers(back.frames[[0, -1]]) == [0, 5]


def test_pixels_survive_a_round_trip(tmp_path):
    colours = np.array([[200, 60, 40], [40, 180, 60], [30, 60, 200], [230, 230, 230]], np.uint8)
    frames = np.repeat(colours, 16, 0)[None, None].repeat(48, 1).repeat(3, 0)
    for suffix in ('.mp4', '.webm'):
        back = read_video(write_video(iter(frames), tmp_path / f'a{suffix}')).frames
        assert np.abs(back.astype(int) - frames).mean() < 4


def test_browsers_can_play_what_is_written(tmp_path):
    for suffix, codec in (('.mp4', 'h264'), ('.webm', 'vp9')):
        path = write_video(grey(5), tmp_path / f'a{suffix}')
        with av.open(str(path)) as container:
            context = container.streams.video[0].codec_context
            assert (context.name.removeprefix('lib'), context.pix_fmt) in ((codec, 'yuv420p'), (f'vpx-{codec}', 'yuv420p'))
    data = (tmp_path / 'a.mp4').read_bytes()
    assert data.index(b'moov') < data.index(b'mdat')


def failing(frames):
    yield from frames
    raise RuntimeError('the camera was unplugged')


def test_failure_leaves_no_half_file(tmp_path):
    path = write_video(grey(3), tmp_path / 'a.mp4')
    before = path.read_bytes()
    for bad, error, says in ((failing(grey(30)), RuntimeError, 'unplugged'), ([grey(1)[0], grey(1, 32)[0]], VideoError, 'one size'),
                             ([], VideoError, 'no frame to write'), (grey(3) / 255, InputError, '255 '), (grey(3)[..., 0], InputError, 'uint8')):
        for target in (path, tmp_path / 'b.mp4', tmp_path / 'c.webm'):
            with pytest.raises(error, match=says): write_video(bad if isinstance(bad, (list, np.ndarray)) else failing(grey(30)), target)
    assert os.listdir(tmp_path) == ['a.mp4'] and path.read_bytes() == before


def test_missing_folder_is_made_and_a_blocked_one_is_an_error(tmp_path):
    assert write_video(grey(2), tmp_path / 'new' / 'deep' / 'a.mp4').exists()
    (tmp_path / 'file').write_text('x')
    (tmp_path / 'folder.mp4' / 'full').mkdir(parents=True)
    for target in (tmp_path / 'file' / 'a.mp4', tmp_path / 'folder.mp4'):
        with pytest.raises(ClipAUTTError, match='cannot be written'): write_video(grey(2), target)
    assert sorted(os.listdir(tmp_path)) == ['file', 'folder.mp4', 'new']


@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() == 0, reason='root may write anywhere')
def test_read_only_folder_is_an_error(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ClipAUTTError, match='cannot be written'): write_video(grey(2), tmp_path / 'a.mp4')
    finally: tmp_path.chmod(0o700)


@pytest.mark.parametrize('name, how, says', [
    ('a.avi', {}, r'written as \.mp4 or \.webm'), ('a', {}, 'written as'), ('a.mp4', {'fps': 0}, 'fps must be positive'),
    ('a.mp4', {'fps': float('nan')}, 'got nan'), ('a.mp4', {'crf': 52}, 'crf must be'), ('a.mp4', {'crf': -1}, 'crf must be')])
def test_impossible_files_are_refused(tmp_path, name, how, says):
    with pytest.raises(VideoError, match=says): write_video(grey(2), tmp_path / name, **how)
    assert not os.listdir(tmp_path)


def test_quality_follows_crf(tmp_path, noise):
    for suffix in ('.mp4', '.webm'):
        sizes = [write_video(noise[:10], tmp_path / f'{crf}{suffix}', crf=crf).stat().st_size for crf in (5, 45)]
        assert sizes[0] > 2 * sizes[1]


# The clip

@pytest.mark.parametrize('frames, says', [
    ([grey(1)[0]], 'np.stack'), (grey(1)[0], r'image\[None\]'), (grey(4)[..., 0], 'np.repeat'), (grey(4).transpose(0, 3, 1, 2), 'transpose'),
    (np.zeros((4, 8, 8, 4), np.uint8), r'\[\.\.\., :3\]'), (grey(4) / 255, 'np.uint8'), (grey(4)[:0], r'got uint8 \[0, 48, 64, 3\]'),
    (grey(4)[:, :0], 'at least one'), (None, 'got NoneType')])
def test_frames_are_checked(frames, says):
    with pytest.raises(InputError, match=says): Clip(frames, np.arange(4) / 25)


@pytest.mark.parametrize('times, says', [([0, 1, 2], r'\[4\].*got \[3\]'), (np.zeros((4, 1)), r'got \[4, 1\]'), ([0, 2, 1, 3], 'never decrease'),
                                         ([0, 1, 2, np.nan], 'finite'), ([0, 1, 2, np.inf], 'finite')])
def test_times_are_checked(times, says):
    with pytest.raises(InputError, match=says): Clip(grey(4), times)


def test_found_is_checked():
    assert Clip(grey(4), range(4), found=[True, False, True, True]).found.dtype == bool
    for found in ([True] * 3, [1, 0, 1, 1]):
        with pytest.raises(InputError, match='found must be bool'): Clip(grey(4), range(4), found=found)


def test_clip_is_frozen_and_replaced():
    clip = Clip(grey(4), [0, 1, 2, 3], subject='S1', label='pain', id='a', warnings=['w'])
    with pytest.raises(dataclasses.FrozenInstanceError): clip.label = 'x'
    other = clip.replace(label='no pain')
    assert (clip.label, other.label, other.subject, other.warnings) == ('pain', 'no pain', 'S1', ('w',)) and other.frames is clip.frames
    with pytest.raises(InputError): clip.replace(frames=grey(3))


@pytest.mark.parametrize('index, expected', [(slice(2, 5), [2, 3, 4]), (slice(None, None, 4), [0, 4, 8]), (3, [3]), (-1, [9]), ([1, 7], [1, 7]),
                                             (np.arange(10) > 7, [8, 9]), (np.int64(2), [2]), (np.array([5]), [5])], ids=str)
def test_slicing(index, expected):
    part = Clip(grey(10), UNEVEN, 'S1', 2, 'a', np.arange(10) % 3 == 0, ('w',))[index]
    assert numbers(part.frames) == expected and np.array_equal(part.times, UNEVEN[expected])
    assert part.found.tolist() == [i % 3 == 0 for i in expected] and (part.subject, part.label, part.id, part.warnings) == ('S1', 2, 'a', ('w',))


def test_slices_that_are_no_clip():
    clip = Clip(grey(10), UNEVEN)
    for index in (slice(4, 4), [], slice(None, None, -1), np.zeros(10, bool)):
        with pytest.raises(InputError): clip[index]
    for index in (10, -11, [3, 10], np.ones(9, bool)):
        with pytest.raises(IndexError): clip[index]
    assert [numbers(one.frames) for one in clip] == [[i] for i in range(10)]


def test_rate_and_duration():
    assert Clip(grey(4), np.arange(4) / 25).fps == pytest.approx(25) and Clip(grey(4), np.arange(4) / 25).duration_s == pytest.approx(.16)
    assert Clip(grey(4), 7 + np.arange(4) / 25).duration_s == pytest.approx(.16)
    assert Clip(grey(4), [0, 0, 0, 0]).fps is None and Clip(grey(10), UNEVEN).fps == pytest.approx(20)


def test_pictures_of_a_clip():
    clip = Clip(grey(10), UNEVEN, 'S1', id='<b>a</b>', found=np.ones(10, bool), warnings=('dark <room>',))
    assert film_strip(clip.frames, n=3, height=24).size == (96, 24) and film_strip(clip.frames[:1]).size == (96, 72)
    for text in ('10 frames 64x48', 'subject S1', 'face in 10 of 10', 'warning: dark'): assert text in repr(clip)
    page = clip._repr_html_()
    assert '<b>a' not in page.replace('<b>&lt;', '') and '<room>' not in page and 'data:image/jpeg;base64,' in page


# Real videos

@pytest.mark.parametrize('name, size, count, seconds', [
    ('WolfgangLanger_Pexels.mp4', (640, 360), 472, 19.7), ('face_noface.mov', (960, 540), 169, 6.4), ('no_face.mp4', (960, 540), 95, 4.),
    ('single_face.mp4', (640, 360), 72, 2.4)])
def test_real_videos(name, size, count, seconds):
    path = SHARED / 'data' / 'video' / name
    if not path.exists(): pytest.skip('shared/data/video is not beside the repository')
    clip = read_video(path, max_side=160)
    assert count <= len(clip) <= count + 3 and clip.duration_s == pytest.approx(seconds, abs=.1)
    assert clip.frames.shape[1:] == (90, 160, 3) and clip.warnings == () and clip.times[0] == 0
    assert clip.frames.std() > 20 and (np.diff(clip.times) > 0).all()
    assert read_video(path, max_frames=1).frames.shape == (1, *size[::-1], 3)
    assert abs(len(read_video(path, fps=5, max_side=160)) - 5 * seconds) <= 2
