"""Decoding ahead of the encoder changes neither numbers nor order, and stops cleanly."""

import os
import signal
import subprocess
import sys
import threading
import warnings
from contextlib import closing

import numpy as np
import pytest
import torch
from PIL import Image

import clip_autt.data.encode as encoding
from clip_autt.video.clip import Clip, FrameFiles
from clip_autt.data.manifest import Item
from clip_autt.data.encode import encode_items, encode_manifest
from clip_autt.utils.errors import ClipAUTTError, ManifestError, VideoError
from clip_autt.features import VideoFeatures, encode_clip, encode_video
from clip_autt.faces.portraits import moving_portrait
from clip_autt.data.entries import StoreError
from clip_autt.data.store import FeatureStore
from clip_autt.video.io import read_video, write_video

WHOLE = dict(fps=None, crop="none")


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    "Seven short clips of different lengths; some longer than a batch, one longer than the queue."
    folder, items = tmp_path_factory.mktemp("clips"), []
    for i, n in enumerate((3, 40, 1, 300, 33, 64, 5)):
        frames = np.random.default_rng(i).integers(0, 255, (n, 16, 16, 3), dtype=np.uint8)
        items.append(
            Item(write_video(Clip(frames, np.arange(n) / 25), folder / f"{i}.mp4"), f"s{i % 2}", "pain", id=f"clip {i}")
        )
    return items


@pytest.fixture
def broken(tmp_path):
    (tmp_path / "noise.mp4").write_text("no video")
    return Item(tmp_path / "noise.mp4", "s9", "pain", id="noise")


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


def locks(store):
    return [*(store.folder / "locks").glob("*")]


def same(a, b):
    return torch.equal(a.frames, b.frames) and torch.equal(a.times, b.times) and torch.equal(a.found, b.found)


@pytest.mark.parametrize("workers", [1, 2, 3, 9])
def test_the_same_numbers_in_the_same_order(tiny, items, workers):
    results = list(encode_items(tiny, items, **WHOLE, workers=workers))
    assert [i for i, _ in results] == list(range(len(items)))
    for (_, v), item in zip(results, items):
        assert same(v, encode_video(tiny, item.path, **WHOLE))


def test_faces_are_found_as_in_a_clip_in_memory(tiny, portrait_mp4):
    "Detector in a thread, gaps filled in place: equal to reading, cropping and encoding the whole."
    whole = encode_clip(tiny, read_video(portrait_mp4, fps=8))
    for workers in (0, 2):
        (_, v), _ = encode_items(
            tiny, [Item(portrait_mp4, "a", "b"), Item(portrait_mp4, "a", "b", start_s=1.0)], fps=8, workers=workers
        )
        torch.testing.assert_close(v.frames, whole.frames, atol=1e-5, rtol=1e-5)
        assert torch.equal(v.found, whole.found) and v.warnings == whole.warnings


def test_frames_and_seconds_of_an_item_are_kept_to(tiny, items):
    path = items[1].path
    part = [Item(path, "a", "pain", start=5, end=14), Item(path, "a", "pain", start_s=0.4, stop_s=0.8)]
    by_frame, by_second = (v for v, _ in encode_manifest(tiny, part, **WHOLE, progress=False))
    assert len(by_frame) == 10 and by_frame.times[0] == pytest.approx(0.2)
    assert len(by_second) == 10 and by_second.times[0] == pytest.approx(0.4)


def test_frames_listed_as_faces_never_meet_the_detector(tiny, tmp_path, monkeypatch):
    for name in ("find_box", "face_scores"):
        monkeypatch.setattr(f"clip_autt.video.face.{name}", None)
    monkeypatch.setattr("clip_autt.features.best_faces", None)
    frames = np.random.default_rng(0).integers(0, 255, (4, 16, 16, 3), dtype=np.uint8)
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{i}.png")
    listed = FrameFiles(tuple(tmp_path / f"{i}.png" for i in range(4)), (2.0, 2.1, 2.2, 2.3), "window 7")
    ((v, label),) = encode_manifest(
        tiny, [Item(listed, "Anna", "neutral")], crop="none", progress=False, store=tmp_path / "s"
    )
    assert (v.id, v.subject, label, len(v)) == ("window 7", "Anna", "neutral", 4) and bool(v.found.all())


# Errors


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_file_is_reported_and_the_others_go_on(tiny, items, broken, workers):
    failed = []
    with pytest.warns(UserWarning, match="1 of 4 clips could not be used: noise"):
        videos = encode_manifest(
            tiny, [*items[:2], broken, items[2]], **WHOLE, progress=False, failed=failed, workers=workers
        )
    assert [v.id for v, _ in videos] == ["clip 0", "clip 1", "clip 2"] and [i.id for i, _ in failed] == ["noise"]
    with pytest.raises(VideoError, match="noise"):
        encode_manifest(tiny, [items[0], broken, *items], **WHOLE, progress=False, strict=True, workers=workers)
    with pytest.raises(ManifestError, match="1 of 1 clips"):
        encode_manifest(tiny, [broken], progress=False, workers=workers)


def test_an_error_of_our_own_is_not_hidden(tiny, items, monkeypatch):
    "What is no ClipAUTTError is a mistake in the program, and stops."

    def fails(*args, **kwargs):
        raise ZeroDivisionError
        yield

    monkeypatch.setattr(encoding, "crop_batches", fails)
    with pytest.raises(ZeroDivisionError):
        encode_manifest(tiny, items, **WHOLE, progress=False)


def test_a_store_that_cannot_be_written_stops_everything(tiny, items, tmp_path):
    (tmp_path / "file").write_text("")
    for workers in (0, 2):
        with pytest.raises(StoreError, match="cannot be written"):
            encode_manifest(tiny, items, **WHOLE, progress=False, store=tmp_path / "file/store", workers=workers)


def test_a_result_that_is_not_wanted_any_more_stops_the_threads(tiny, items, tmp_path):
    store = FeatureStore(tmp_path / "s")
    with closing(encode_items(tiny, items * 5, **WHOLE, store=store)) as results:
        assert next(results)[0] == 0
    assert locks(store) == []


# With a store


def test_the_second_run_only_reads(tiny, items, tmp_path, monkeypatch):
    first = encode_manifest(tiny, items, **WHOLE, progress=False, store=tmp_path / "s")
    monkeypatch.setattr(encoding, "crop_batches", None)
    second = encode_manifest(tiny, items, **WHOLE, progress=False, store=tmp_path / "s")
    plain = [encode_video(tiny, item.path, **WHOLE) for item in items]
    assert all(same(a.video, b.video) and same(a.video, c) for a, b, c in zip(first, second, plain))
    assert [(v.id, v.subject, label) for v, label in second] == [(i.id, i.subject, i.label) for i in items]
    assert locks(FeatureStore(tmp_path / "s")) == []


def test_one_video_listed_many_times_is_encoded_once(tiny, items, tmp_path, monkeypatch):
    count, real = [], encoding.crop_batches

    def counted(*args, **kwargs):
        count.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(encoding, "crop_batches", counted)
    videos = encode_manifest(tiny, [items[1]] * 6, **WHOLE, progress=False, store=tmp_path / "s")
    assert len(count) == 1 and len(videos) == 6 and all(same(v, videos[0].video) for v, _ in videos)


def test_what_another_process_is_at_comes_last(tiny, items, tmp_path):
    store = FeatureStore(tmp_path / "s")
    claim = store.claim(store.key(tiny, items[1].path, **WHOLE, start_s=None, stop_s=None))
    with closing(encode_items(tiny, items, **WHOLE, store=store)) as results:
        order = [next(results)[0] for _ in range(len(items) - 1)]
        claim.release()
        order.append(next(results)[0])
    assert order == [0, 2, 3, 4, 5, 6, 1]
    claim = store.claim(store.key(tiny, items[0].path, **WHOLE))
    threading.Timer(0.3, claim.release).start()
    videos = encode_manifest(tiny, items, **WHOLE, progress=False, store=store)
    assert [v.id for v, _ in videos] == [i.id for i in items], "in the order of the items in the end"


def test_a_video_without_enough_faces_is_kept_but_not_used(tiny, tmp_path):
    grey = write_video(np.full((10, 32, 32, 3), 90, np.uint8), tmp_path / "grey.mp4")
    store = FeatureStore(tmp_path / "s")
    for _ in range(2):
        with warnings.catch_warnings(), pytest.raises(ManifestError, match="a face in 0 of"):
            warnings.simplefilter("ignore")
            encode_manifest(tiny, [Item(grey, "a", "b")], progress=False, store=store)
    assert store.info().entries == 1


@pytest.mark.parametrize("stop_at", [1, 4])
def test_ctrl_c_keeps_what_is_finished(tiny, items, tmp_path, monkeypatch, stop_at):
    store, real, count = FeatureStore(tmp_path / "s"), encoding.embed_crops, []

    def interrupted(*args):
        count.append(1)
        if len(count) == stop_at:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(encoding, "embed_crops", interrupted)
    with pytest.raises(KeyboardInterrupt):
        encode_manifest(tiny, items, **WHOLE, progress=False, store=store)
    assert store.info().entries == stop_at - 1 and locks(store) == []
    assert store.verify(progress=False) == []
    assert len(encode_manifest(tiny, items, **WHOLE, progress=False, store=store)) == len(items)
    assert len(count) == len(items) + 1, "nothing finished was done again"


RUN = """
import os, signal, sys, warnings
warnings.simplefilter('ignore')
import clip_autt.data.encode as encoding
from clip_autt import load_backbone
from clip_autt.data.manifest import Item
n, kill_at, real = 0, int(sys.argv[1]), encoding.embed_crops
def counted(*args):
    global n
    n += 1
    if n == kill_at: os.kill(os.getpid(), signal.SIGKILL)
    return real(*args)
encoding.embed_crops = counted
items = [Item(path, 's', 'pain') for path in map(encoding.Path, sys.argv[3:])]
backbone = load_backbone('tiny')
videos = encoding.encode_manifest(backbone, items, fps=None, crop='none', progress=False, store=sys.argv[2])
print(n, len(videos))
"""


def start(kill_at, folder, items):
    command = [sys.executable, "-c", RUN, str(kill_at), str(folder), *(str(i.path) for i in items)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_in_the_middle_and_run_again(items, tmp_path):
    run = start(4, tmp_path / "s", items)
    run.communicate()
    assert run.returncode == -signal.SIGKILL and FeatureStore(tmp_path / "s").info().entries == 3
    assert start(0, tmp_path / "s", items).communicate()[0].split() == ["4", "7"], (
        "the three that were finished are not done again"
    )


def test_two_runs_on_one_store_share_the_work(items, tmp_path):
    runs = [start(0, tmp_path / "s", items) for _ in range(2)]
    done = [tuple(map(int, run.communicate()[0].split())) for run in runs]
    store = FeatureStore(tmp_path / "s")
    assert [n for _, n in done] == [7, 7] and store.info().entries == 7 and store.verify(progress=False) == []
    assert sum(n for n, _ in done) <= 7, "what one has encoded, or is encoding, the other takes"


def test_memory_is_bounded_by_the_queues(tiny, items, monkeypatch):
    "Threads do not run ahead: never more batches wait than the queues of the started videos have room for."
    waiting, most, lock, real = [0], [0], threading.Lock(), encoding._Queue

    class Counted(real):
        def put(self, thing):
            super().put(thing)
            with lock:
                waiting[0] += 1
                most[0] = max(most[0], waiting[0])

        def get(self):
            thing = super().get()
            with lock:
                waiting[0] -= 1
            return thing

    monkeypatch.setattr(encoding, "_Queue", Counted)
    results = list(encode_items(tiny, items[3:4] * 6, **WHOLE, workers=2))
    assert all(isinstance(v, VideoFeatures) for _, v in results) and most[0] <= 4 * (encoding._ROOM + 1)


def test_wrong_arguments(tiny, items):
    with pytest.raises(ClipAUTTError, match="workers"):
        encode_manifest(tiny, items, progress=False, workers=-1)


def test_portraits_through_the_store(tiny, tmp_path):
    "Found flags, times and warnings come back from the store."
    path = write_video(moving_portrait(1, fps=12.5), tmp_path / "p.mp4")
    runs = [
        encode_manifest(tiny, [Item(path, "a", "b")], progress=False, store=tmp_path / "s")[0].video for _ in range(2)
    ]
    assert same(*runs) and runs[0].warnings == runs[1].warnings and int(runs[0].found.sum()) == len(runs[0])


@pytest.mark.parametrize("size, most_mb", [(32, 1), (96, 8), (224, 16), (448, 39)])
def test_waiting_crops_are_bounded_in_bytes(size, most_mb):
    waiting = encoding._room(size) * 32 * size * size * 3
    assert waiting <= most_mb * 1e6 and 2 <= encoding._room(size) <= encoding._ROOM
