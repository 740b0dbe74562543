"""The feature store: found by content and settings, whole or not at all, and every flipped bit is seen."""

import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_features
from PIL import Image

from clip_autt import load_backbone, moving_portrait, write_video
from clip_autt.video.clip import FrameFiles
from clip_autt.utils.errors import ClipAUTTError, VideoError
from clip_autt.video.face import FaceBox
from clip_autt.features import encode_video
from clip_autt.data.entries import StoreError, StoreWarning, encoding_facts, video_hash
from clip_autt.data.store import FeatureStore

KEY = "ab" + "0" * 30


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    clip = moving_portrait(1, fps=12.5)
    return write_video(
        clip.replace(found=np.ones(len(clip), bool)), tmp_path_factory.mktemp("v") / "a.mp4"
    )  # says that it is cropped


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "store")


def same(a, b):
    return (
        torch.equal(a.frames, b.frames)
        and torch.equal(a.times, b.times)
        and torch.equal(a.found, b.found)
        and a.warnings == b.warnings
    )


def files(folder):
    return [p for p in folder.rglob("*") if p.is_file()]


class Trap:
    "A backbone that cannot encode."

    def __init__(self, backbone):
        self.__dict__.update(backbone=backbone)

    def __getattr__(self, name):
        assert name != "encode_frames", "encoded again"
        return getattr(self.backbone, name)


def test_what_was_encoded_is_found_under_any_name(store, tiny, video, tmp_path):
    first = store.encode(tiny, video)
    assert same(first, encode_video(tiny, video)) and first.id == "a.mp4"
    renamed = tmp_path / "b.mp4"
    renamed.write_bytes(video.read_bytes())
    for source in (renamed, str(renamed), video.read_bytes()):
        again = store.encode(Trap(tiny), source)
        assert same(first, again) and again.backbone == tiny.hash
    assert again.id != first.id and store.info().entries == 1
    assert [p.suffix for p in files(store.folder)] == [".safetensors"], "locks and temporary files are gone"


def test_other_content_under_an_old_name_is_not_found(store, tiny, tmp_path):
    path = write_video(moving_portrait(0.5, fps=12.5), tmp_path / "a.mp4")
    before = store.key(tiny, path)
    write_video(moving_portrait(1, fps=12.5), path)
    assert store.key(tiny, path) != before


@pytest.mark.parametrize(
    "change",
    [dict(fps=25.0), dict(fps=None), dict(crop="none"), dict(crop=(0, 0, 9, 9)), dict(start_s=0.2), dict(stop_s=0.5)],
)
def test_every_setting_is_part_of_the_key(store, tiny, video, change):
    assert store.key(tiny, video, **change) != store.key(tiny, video)


def test_settings_said_in_two_ways_are_one(store, tiny, video):
    assert store.key(tiny, video, fps=12.5, start_s=0, stop_s=None) == store.key(tiny, video)
    boxes = [(1, 2, 3, 4), [1.0, 2.0, 3.0, 4.0], np.array([1, 2, 3, 4]), FaceBox(1, 2, 3, 4)]
    assert len({store.key(tiny, video, crop=box) for box in boxes}) == 1
    assert store.key(tiny, video, crop=FaceBox(1, 2, 3, 4, 20)) != store.key(tiny, video, crop=boxes[0])


def test_weights_activation_colours_and_precision_are_part_of_the_key(store, tiny, video, tmp_path, monkeypatch):
    torch.save({**tiny.model.state_dict(), "input_resolution": torch.tensor(32)}, tmp_path / "openai.pt")
    others = [
        load_backbone("tiny", seed=1),
        load_backbone("tiny", tmp_path / "openai.pt"),
        load_backbone("tiny", dtype=torch.bfloat16),
    ]
    assert len({b.hash for b in [tiny, *others[:2]]}) == 3, "the activation is part of the hash"
    keys = {store.key(b, video) for b in [tiny, *others]} | {FeatureStore(store.folder, "float16").key(tiny, video)}
    assert len(keys) == 5
    monkeypatch.setattr(
        tiny.model.visual, "preprocess_cfg", {**tiny.model.visual.preprocess_cfg, "mean": (0.5, 0.5, 0.5)}
    )
    assert store.key(tiny, video) not in keys
    monkeypatch.undo()
    monkeypatch.setattr("clip_autt.data.entries.ENCODING_VERSION", 4)
    assert store.key(tiny, video) not in keys


def test_image_files_are_known_by_their_bytes_times_and_order(tmp_path):
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.fromarray(np.full((8, 8, 3), 40 * i, np.uint8)).save(
                tmp_path / name / (f"{i + 8}.png" if name == "x" else f"f{i}.png")
            )
    assert video_hash(tmp_path / "x") == video_hash(tmp_path / "y"), "8, 9, 10 is the order of numbers"
    paths = tuple(sorted((tmp_path / "y").iterdir()))
    listed = FrameFiles(paths, (0.0, 0.1, 0.2), "one")
    assert video_hash(listed) == video_hash(FrameFiles(paths, (5.0, 5.1, 5.2), "later, of another name"))
    others = [
        FrameFiles(paths, (0.0, 0.1, 0.3)),
        FrameFiles(paths[::-1], (0.0, 0.1, 0.2)),
        FrameFiles(paths[:2], (0.0, 0.1)),
        tmp_path / "x",
    ]
    assert len({video_hash(o) for o in [listed, *others]}) == 5
    before = video_hash(listed)
    Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(paths[1])
    assert video_hash(listed) != before


def test_a_missing_video_is_a_video_error(store, tiny, tmp_path):
    with pytest.raises(VideoError, match=r"no\.mp4: cannot be read"):
        store.encode(tiny, tmp_path / "no.mp4")
    with pytest.raises(VideoError):
        store.key(tiny, FrameFiles((tmp_path / "no.png",), (0.0,)))
    assert not store.folder.exists()


def test_an_entry_holds_no_name_and_takes_those_it_is_asked_with(store, tiny, video):
    v = replace(
        make_features(0, width=64),
        id="secret name",
        subject="secret person",
        warnings=("a face in 3 of 20 frames only",),
    )
    store.put(KEY, v, **encoding_facts(tiny))
    assert b"secret" not in store.path(KEY).read_bytes()
    got = store.get(KEY, id="new", subject="Anna")
    assert same(got, v) and (got.id, got.subject) == ("new", "Anna")
    assert store.get("cd" * 16) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_types_come_back(store, dtype):
    v = make_features(0)
    v = replace(v, frames=v.frames.to(dtype))
    store.put(KEY, v)
    assert store.get(KEY).frames.dtype == dtype and same(store.get(KEY), v)


def test_half_the_space_and_the_same_numbers_at_the_first_and_second_time(store, tiny, video):
    half = FeatureStore(store.folder, "float16")
    first, again = half.encode(tiny, video), half.encode(Trap(tiny), video)
    assert same(first, again) and first.frames.dtype == torch.float32
    torch.testing.assert_close(first.frames, store.encode(tiny, video).frames, atol=2e-3, rtol=1e-3)
    v = make_features(0, n_frames=2000)
    sizes = []
    for s in (store, half):
        s.put(KEY, v)
        sizes.append(s.path(KEY).stat().st_size)
    assert sizes[1] < 0.55 * sizes[0]
    with pytest.raises(StoreError, match="float32"):
        half.put(KEY, replace(v, frames=v.frames * 1e6))


# Damage


def test_any_flipped_bit_is_found(store):
    v = make_features(0, n_frames=4, width=8, warnings=("a note",))
    store.put(KEY, v, crop="auto")
    path = store.path(KEY)
    data, rng = path.read_bytes(), random.Random(0)
    header = range(8 + int.from_bytes(data[:8], "little"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        for at in [*header, *(rng.randrange(len(header), len(data)) for _ in range(150))]:
            flipped = bytearray(data)
            flipped[at] ^= 1 << rng.randrange(8)
            path.write_bytes(flipped)
            got = store.get(KEY)
            assert got is None or (same(got, v) and got.backbone == v.backbone), (
                f"byte {at} of {len(data)}: {flipped[max(0, at - 20) : at + 20]}"
            )
            assert got is not None or not path.exists()


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "another", "longer", "safetensors"])
def test_a_damaged_entry_is_set_aside_and_computed_again(store, tiny, video, damage):
    first = store.encode(tiny, video)
    path = store.path(store.key(tiny, video))
    data = path.read_bytes()
    if damage == "another":
        store.put(KEY, make_features(0))
        os.replace(store.path(KEY), path)
    elif damage == "safetensors":
        from safetensors.torch import save_file

        save_file({"frames": torch.zeros(2, 3)}, path)
    else:
        path.write_bytes({"cut": data[:-9], "empty": b"", "garbage": b"garbage" * 99, "longer": data + b"x"}[damage])
    with pytest.warns(StoreWarning, match="set aside"):
        assert same(store.encode(tiny, video), first)
    assert store.info().aside == 1 and same(store.encode(Trap(tiny), video), first)


def test_verify_names_the_damaged(store):
    keys = [f"{i:02x}" + "0" * 30 for i in range(5)]
    for i, key in enumerate(keys):
        store.put(key, make_features(i))
    data = bytearray(store.path(keys[3]).read_bytes())
    data[len(data) // 2] ^= 4
    store.path(keys[3]).write_bytes(data)
    with pytest.warns(StoreWarning, match="checksum"):
        assert store.verify(progress=False) == [keys[3]]
    assert store.verify(progress=False) == [] and (store.info().entries, store.info().aside) == (4, 1)


# A place that cannot be written


def test_a_folder_that_cannot_be_made_is_one_error_before_anything_is_decoded(tiny, video, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="not a folder"):
        FeatureStore(tmp_path / "file")
    store = FeatureStore(tmp_path / "file/inside")
    with pytest.raises(StoreError, match="cannot be written"):
        store.encode(Trap(tiny), video)
    with pytest.raises(StoreError, match="cannot be written"):
        store.put(KEY, make_features(0))
    assert issubclass(StoreError, ClipAUTTError)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_store_is_read(store, tiny, video):
    first = store.encode(tiny, video)
    try:
        for p in [store.folder, *store.folder.rglob("*")]:
            p.chmod(0o555 if p.is_dir() else 0o444)
        assert same(store.encode(Trap(tiny), video), first)
        with pytest.raises(StoreError, match="cannot be written"):
            store.encode(tiny, video, fps=5)
    finally:
        for p in [store.folder, *store.folder.rglob("*")]:
            p.chmod(0o755)


FULL = """
import resource, signal, sys, torch
from clip_autt.features import VideoFeatures
from clip_autt.data.entries import StoreError
from clip_autt.data.store import FeatureStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
v = VideoFeatures(torch.zeros(100, 64), torch.arange(100.), torch.ones(100, dtype=torch.bool))
try: FeatureStore(sys.argv[1]).put('ab' + '0' * 30, v)
except StoreError as e: print('refused', e)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
def test_a_full_disk_leaves_no_half_file(tmp_path):
    out = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "s")], capture_output=True, text=True, check=True
    ).stdout
    assert out.startswith("refused") and "cannot be written" in out and files(tmp_path) == []


KILLED = """
import os, signal, sys
import clip_autt.utils.files as f
from clip_autt import load_backbone
from clip_autt.data.store import FeatureStore
f.os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
FeatureStore(sys.argv[2]).encode(load_backbone('tiny'), sys.argv[1])
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_while_writing_blocks_nobody(store, tiny, video):
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", KILLED, str(video), str(store.folder)])
    assert run.returncode == -signal.SIGKILL
    left = sorted(p.suffix for p in files(store.folder))
    assert left == [".lock", ".safetensors"] and store.info().entries == 0, "a lock and a temporary file"
    first = store.encode(tiny, video)
    assert same(first, store.encode(Trap(tiny), video)) and store.info().entries == 1
    assert store.prune().leftovers == 0, "it could belong to somebody who is still writing"
    for p in files(store.folder):
        os.utime(p, (0, 0))
    assert store.prune().leftovers == 1 and store.info().entries == 1
    assert len(files(store.folder)) == 1


# Several at once


def test_two_threads_encode_a_video_once(store, tiny, video, monkeypatch):
    count, results = [], []
    import clip_autt.data.store as module

    def counted(*args, **kwargs):
        count.append(1)
        return encode_video(*args, **kwargs)

    monkeypatch.setattr(module, "encode_video", counted)
    threads = [threading.Thread(target=lambda: results.append(store.encode(tiny, video))) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(count) == 1 and len(results) == 4 and all(same(r, results[0]) for r in results)


def test_a_claim_is_for_one(store):
    with store.claim(KEY) as claim:
        assert claim is not None and store.claim(KEY, wait=False) is None
        with store.claim("cd" * 16, wait=False) as other:
            assert other is not None
    with store.claim(KEY, wait=False) as again:
        assert again is not None


WRITER = """
import sys, warnings
warnings.simplefilter('ignore')
import clip_autt.data.store as module
from clip_autt import load_backbone
b, n, real = load_backbone('tiny'), 0, module.encode_video
def counted(*a, **k):
    global n
    n += 1
    return real(*a, **k)
module.encode_video = counted
store = module.FeatureStore(sys.argv[1])
for path in sys.argv[2:]: store.encode(b, path, crop='none')
print(n)
"""


def test_two_processes_share_the_work_and_the_result(store, tmp_path):
    paths = [write_video(np.full((5, 16, 16, 3), 20 * i, np.uint8), tmp_path / f"{i}.mp4") for i in range(6)]
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store.folder), *map(str, paths)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    done = [int(run.communicate()[0]) for run in runs]
    assert [r.returncode for r in runs] == [0, 0] and sum(done) == 6
    assert store.info().entries == 6 and store.verify(progress=False) == [] and len(files(store.folder)) == 6


# Housekeeping


def test_info_counts_by_backbone_and_settings(store, tiny, video):
    assert store.info().to_dict() == dict(entries=0, bytes=0, aside=0, unreadable=0, groups=[])
    for settings in (dict(), dict(start_s=0.5), dict(fps=5), dict(crop=(1, 1, 50, 50), fps=None)):
        store.encode(tiny, video, **settings)
    info = store.info()
    assert sorted((g.fps or 0, g.crop, g.entries) for g in info.groups) == [
        (0, "box", 1),
        (5, "auto", 1),
        (12.5, "auto", 2),
    ]
    assert (
        info.bytes == sum(p.stat().st_size for p in files(store.folder))
        and "4 videos" in repr(info)
        and "crop box" in info._repr_html_()
    )
    store._entries()[0].write_bytes(b"")
    assert store.info().unreadable == 1 and store.info().entries == 3


def aged(store, days):
    "Entries last used so many days ago."
    keys = []
    for i, d in enumerate(days):
        keys.append(f"{i:02x}" + "0" * 30)
        store.put(keys[-1], make_features(i), backbone="old" if i % 2 else "new")
        then = store.path(keys[-1]).stat().st_mtime - 86400 * d
        os.utime(store.path(keys[-1]), (then, then))
    return keys


def test_prune_removes_what_is_asked_and_nothing_else(store):
    keys = aged(store, [1, 20, 40, 60])
    assert store.prune().keys == []
    assert store.prune(backbone="old", dry_run=True).keys == [keys[3], keys[1]] and store.info().entries == 4
    assert store.prune(older_than_days=30, backbone="new").keys == [keys[2]]
    size = store.path(keys[0]).stat().st_size
    pruned = store.prune(max_bytes=2 * size)
    assert pruned.keys == [keys[3]] and pruned.bytes == size, "the one that was used longest ago"
    assert store.prune(older_than_days=10).keys == [keys[1]]
    assert [p.stem for p in store._entries()] == [keys[0]]


def test_what_is_used_stays(store):
    keys = aged(store, [50, 40])
    store.get(keys[0])
    assert store.prune(older_than_days=30).keys == [keys[1]]


def test_prune_leaves_what_is_being_written(store):
    key = aged(store, [0])[0]
    writing = store.path(key).with_name(".x-1234.safetensors")
    writing.write_bytes(b"half")
    with store.claim(KEY):
        assert store.prune(max_bytes=0).keys == [key]
        assert writing.exists() and (store.folder / "locks" / f"{KEY}.lock").exists()
    os.utime(writing, (0, 0))
    assert store.prune(dry_run=True).leftovers == 1 and writing.exists()
    assert store.prune().leftovers == 1 and not writing.exists()


def test_an_entry_is_plain_safetensors(store):
    "Other programs can read it."
    from safetensors import safe_open

    store.put(KEY, make_features(0), **dict(fps=12.5))
    with safe_open(store.path(KEY), "np") as f:
        assert set(f.keys()) == {"frames", "times", "found"} and f.metadata()["fps"] == "12.5"
    assert store.path(KEY) == Path(store.folder) / "ab" / f"{KEY}.safetensors"
