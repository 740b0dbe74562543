"Killed, interrupted, out of space, fed with rubbish: what is finished stays, what is said is true."

import os
import random
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clip_autt import (
    ClipAU,
    ClipAUTT,
    ClipAUTTError,
    LabeledVideo,
    load_backbone,
    moving_portrait,
    read_manifest,
    read_video,
    write_video,
)
from clip_autt import train as training
from clip_autt.data.au_tables import AUTable, read_au_table
from clip_autt.data.bah import read_segments, read_video_labels
from clip_autt.data.base import CheckReport, Findings, read_frame_lists
from clip_autt.data.folder import check_manifest
from clip_autt.data.stressid import read_answers
from clip_autt.video.clip import FrameFiles
from clip_autt.utils.errors import CheckpointError, ManifestError
from clip_autt.utils.files import atomic_path
from clip_autt.utils.files import write_json
from clip_autt.utils.tables import MISSING, composed, look_alikes
from clip_autt.outputs import window_at
from clip_autt.temporal import score_windows
from clip_autt.video.clock import steady
from clip_autt.video.io import sample_indices
from conftest import SHARED, make_features
from test_au_tables import SAMPLES as AU_SAMPLES

DIES = """
import os, signal
rename, left = os.replace, [LEFT]
def replace(a, b):
    left[0] -= 1
    if left[0] == 0: os.kill(os.getpid(), signal.SIGKILL)  # the file is written, but not yet under its name
    rename(a, b)
os.replace = replace
"""


def run_python(code: str, *args, **kwargs) -> subprocess.CompletedProcess:
    here = Path(__file__).parent
    env = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{here.parent}{os.pathsep}{here}",
        "PYTHONWARNINGS": "ignore",
    }
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], env=env, capture_output=True, text=True, timeout=300, **kwargs
    )


def clips(n: int = 12) -> list[LabeledVideo]:
    return [
        LabeledVideo(make_features(i, subject=f"s{i % 3}", id=f"v{i}"), ("neutral", "positive")[i // 3 % 2])
        for i in range(n)
    ]


TRAIN = """
import sys, torch
torch.set_num_threads(1)
from clip_autt import ClipAU, fit, load_backbone
from test_reliability import clips
model = ClipAU(load_backbone("tiny"), classes=("neutral", "positive"))
fit(model, clips(), epochs=4, checkpoint=sys.argv[1], progress=False)
"""


def test_a_training_killed_in_a_write_goes_on_where_it_was(tmp_path, monkeypatch):
    path = tmp_path / "training.pt"
    died = run_python(DIES.replace("LEFT", "3") + TRAIN, path)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert path.is_file() and len(list(tmp_path.iterdir())) == 2, (
        "two epochs under the name, the third beside it under a temporary one"
    )
    done, epoch = [], training._epoch
    monkeypatch.setattr(training, "_epoch", lambda *a, **k: done.append(1) or epoch(*a, **k))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    models = [ClipAU(load_backbone("tiny"), classes=("neutral", "positive")) for _ in range(2)]
    resumed = training.fit(models[0], clips(), epochs=4, checkpoint=path, progress=False)
    assert len(done) == 2, "finished epochs are not done twice"
    whole = training.fit(models[1], clips(), epochs=4, progress=False)
    torch.set_num_threads(threads)
    assert resumed == whole
    assert all(
        torch.equal(a, b) for a, b in zip(models[0].state_dict().values(), models[1].state_dict().values(), strict=True)
    )


LIMITED = """
import resource, sys
from pathlib import Path
import torch
from clip_autt import ClipAU, ClipAUTT, ClipAUTTError, load_backbone, moving_portrait, write_video
from clip_autt.utils.files import write_json
from conftest import make_features
d = Path(sys.argv[1])
model = ClipAU(load_backbone("tiny"))
model.trained = True
method = ClipAUTT(model)
method.adapt(make_features(0))
portrait = moving_portrait(1)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
def store():
    from clip_autt.data.store import FeatureStore
    s = FeatureStore(d / "store")
    s.put("0" * 64, make_features(0))
writes = dict(head=lambda: model.save_pretrained(d / "head"), profile=lambda: method.save_profile(d / "p.safetensors"),
              records=lambda: write_json(["x" * 10_000], d / "r.json"),
              video=lambda: write_video(portrait, d / "v.mp4"), store=store)
for name, write in writes.items():
    try: write()
    except ClipAUTTError as e: print(name, "error:", e)
    else: print(name, "wrote more than there is room for")
left = (f for f in d.rglob("*") if f.is_file() and f.stat().st_size > 3 and f.suffix != ".lock")
print("left:", *sorted(str(f.relative_to(d)) for f in left))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files with RLIMIT_FSIZE")
def test_a_full_disk_is_one_clear_error_and_leaves_no_half_file(tmp_path):
    out = run_python(LIMITED, tmp_path)
    lines = out.stdout.splitlines()
    assert len(lines) == 6 and all(" error: " in x and "cannot be written" in x for x in lines[:5]), (
        out.stdout + out.stderr
    )
    assert lines[5] == "left:"


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path, model):
    (tmp_path / "file").write_text("not a folder")
    model.trained = True
    with pytest.raises(ClipAUTTError, match=r"file.x\.json: cannot be written"):
        write_json({}, tmp_path / "file" / "x.json")
    with pytest.raises(ClipAUTTError, match="cannot be written"):
        model.save_pretrained(tmp_path / "file" / "head")
    with (
        pytest.raises(CheckpointError, match="cannot be written"),
        atomic_path(tmp_path / "file" / "a.pt", CheckpointError) as tmp,
    ):
        tmp.write_bytes(b"x")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write into read-only folders"
)
def test_a_read_only_folder_is_one_clear_error(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(ClipAUTTError, match="cannot be written"):
        write_json({}, tmp_path / "x.json")
    tmp_path.chmod(0o755)


# manifests, sampling, windows: whatever comes in

TEXT = (
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=8)
    .map(str.strip)
    .filter(bool)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8, unique_by=lambda r: r[0]), st.sampled_from(",;\t|"))
def test_any_names_survive_a_manifest(tmp_path_factory, rows, mark):
    import csv

    d = tmp_path_factory.mktemp("m")
    (d / "v.mp4").write_bytes(b"x")
    with open(d / "m.csv", "w", newline="", encoding="utf-8") as f:
        w = csv.writer(f, delimiter=mark)
        w.writerow(["path", "subject", "label", "start", "end"])
        for i, (who, what) in enumerate(rows):
            w.writerow(["v.mp4", who, what, 10 * i, 10 * i + 9])
    labels = [composed(what) for _, what in rows]
    odd = look_alikes(labels) or any(label in MISSING for label in labels)
    if odd:
        with pytest.raises(ManifestError, match=r"look like one class|missing value"):
            read_manifest(d / "m.csv")
    items = read_manifest(d / "m.csv", classes=labels).items
    assert [(i.subject, i.label) for i in items] == [(composed(who), composed(what)) for who, what in rows]
    assert [i.start for i in items] == [10 * i for i in range(len(rows))]


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text('path,subject;label\n\r"\t 01-\ufeff\0é', max_size=120).map(
            lambda s: ("path,subject,label\n" + s).encode()
        ),
    )
)
def test_rubbish_in_a_manifest_is_a_manifest_error(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "rubbish.csv"
    path.write_bytes(data)
    with pytest.raises(ManifestError) as e:
        read_manifest(path)
    assert "rubbish.csv" in str(e.value)


TABLES = [
    'path,subject,label,start,end\nv.mp4,1,pain,0,9\nv.mp4,#2,"no, pain",10,\nw.mp4,3,Ärger,,\n',
    "video,segment_id,label,num_frames,start_frame,end_frame\nVideos/1/V/1_a.mp4,0,1,9,0,8\nVideos/1/V/1_a.mp4,1,0,9,9,17\n",
    "subject/task,binary-stress\nkycf_Math,1\nkycf/Relax,0\n",
    "faces/a/a-BL1-1/image2040.jpg 0\nfaces/a/a-PA4-1/image2040.jpg 1\n",
    *AU_SAMPLES.values(),
]
ODD = [
    *",;\t| \"'#\n\r\0é-.0195",
    "NA",
    "-nan(ind)",
    "1.#QNAN",
    "inf",
    "1e999",
    "0,5",
    "sep=;",
    "\ufeff",
    "A\u0308",
    "\u2028",
]


def random_table(i: int) -> bytes:
    "A table that was changed: other separators, encodings, line ends and decimals, letters and lines lost or doubled."
    g = random.Random(i)
    text = g.choice(TABLES)
    if g.random() < 0.3:
        text = text.replace(",", g.choice(";\t| ")).replace(".", g.choice(".,"))
    if g.random() < 0.2:
        text = "\n".join(f'"{k}"{g.choice(",; ")}{line}' if k else line for k, line in enumerate(text.split("\n")))
    lines = text.split("\n")
    for _ in range(g.choice((0, 0, 1, 3))):
        at = g.randrange(len(lines))
        lines[at : at + 1] = g.choice(
            ([], [lines[at]] * 2, [lines[at][: g.randrange(len(lines[at]) + 1)]], ["", lines[at]])
        )
        lines = lines or [""]
    text = g.choice(("\n", "\n", "\r\n", "\r")).join(lines)
    for _ in range(g.choice((0, 1, 2, 10))):
        at = g.randrange(len(text) + 1)
        text = text[:at] + g.choice(ODD) + text[at + g.choice((0, 0, 1, 4)) :]
    data = text.encode(g.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1")), "replace")
    return mutated(data, g) if data and g.random() < 0.2 else data


def read_tables(n: int, folder: Path) -> tuple[int, int]:
    "How often random tables are read and refused, by every reader of tables. Any other exception ends it."
    readers = [
        read_manifest,
        read_au_table,
        lambda p: read_answers(p, Findings()),
        lambda p: read_segments([p], Findings()),
        lambda p: read_video_labels([p], Findings()),
        lambda p: read_frame_lists([p], Findings()),
    ]
    (folder / "v.mp4").write_bytes(b"x")
    read = refused = 0
    for i in range(n):
        (folder / "t.csv").write_bytes(random_table(i))
        assert isinstance(check_manifest(folder / "t.csv"), CheckReport)
        for reader in readers:
            try:
                found = reader(folder / "t.csv")
                read += 1
            except ClipAUTTError as e:
                assert "t.csv" in str(e)
                refused += 1
            else:
                if isinstance(found, AUTable):
                    seen = found.intensity[np.isfinite(found.intensity)]
                    assert ((seen >= 0) & (seen <= 1)).all() and repr(found)
    return read, refused


def test_random_tables_are_read_or_refused(tmp_path):
    read, refused = read_tables(250, tmp_path)
    assert read > 100 and refused > 100, "the damage is neither harmless nor always fatal"


@given(st.integers(1, 5000), st.integers(1, 64))
def test_sampled_frames_are_spread_over_all(length, n):
    at = sample_indices(length, n)
    assert len(at) == min(n, length) and (np.diff(at) > 0).all() and 0 <= at[0] and at[-1] < length
    if len(at) > 2:
        assert np.diff(at).max() - np.diff(at).min() <= max(2, np.diff(at).min() + 1)


@given(st.lists(st.one_of(st.none(), st.floats(-100, 1e5)), min_size=1, max_size=50), st.floats(0.01, 1))
def test_the_clock_of_a_video_only_goes_forward(stamps, step):
    times = [t for t, _ in steady(((t, None) for t in stamps), step)]
    assert len(times) == len(stamps) and times[0] == 0 and all(a < b for a, b in pairwise(times))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=40, unique=True).map(sorted), st.floats(0.2, 30))
def test_no_more_frames_a_second_than_asked_for(tmp_path_factory, centiseconds, fps):
    d = tmp_path_factory.getbasetemp()
    from PIL import Image

    if not (d / "f.png").exists():
        Image.new("RGB", (8, 8)).save(d / "f.png")
    times = tuple(c / 100 for c in centiseconds)
    clip = read_video(FrameFiles((d / "f.png",) * len(times), times, "v"), fps=fps)
    assert len({int((t + 0.001) * fps) for t in clip.times}) == len(clip), "two frames in one slot"
    assert len(clip) <= 1 + (times[-1] - times[0] + 0.001) * fps and clip.times[0] == 0
    assert len(clip) >= len({int((t - times[0] + 0.001) * fps) for t in times}), "a slot with frames, and none was kept"


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 70))
def test_windows_stay_inside_their_video(frames, window):
    model, v = _small(), make_features(frames, frames)
    n = len(score_windows(model.temporal, v.frames, window))
    assert n == max(1, frames - window + 1)
    for start in (0, n - 1):
        w = window_at(v.times, start, window)
        assert (
            0 <= w.start < w.stop <= frames
            and w.stop - w.start == min(window, frames)
            and (w.start_s < w.stop_s or frames == 1)
        )
    r = ClipAUTT(model, window=window, untrained_ok=True).adapt(v)
    assert (
        0 <= r.window.start < r.window.stop <= frames
        and len(r.entropy) == n
        and np.isfinite(list(r.probs.values())).all()
    )


_MODELS: list[ClipAU] = []


def _small() -> ClipAU:
    if not _MODELS:
        _MODELS.append(ClipAU(load_backbone("tiny")))
    return _MODELS[0]


# damaged files

FUZZ = """
import random, sys, tempfile, warnings
from pathlib import Path
from clip_autt import Clip, ClipAUTTError, read_video, sample_frames
from clip_autt.video.images import IMAGE_SUFFIXES
from test_reliability import mutated
warnings.simplefilter("ignore")
sources, n = [(Path(p).suffix, Path(p).read_bytes()) for p in sys.argv[2:]], int(sys.argv[1])
folder = tempfile.TemporaryDirectory()
read = refused = 0
for i in range(n):
    g = random.Random(i)
    suffix, data = sources[i % len(sources)]
    data = mutated(data, g)
    if suffix in IMAGE_SUFFIXES:  # pictures are read by Pillow, from files
        data, content = Path(folder.name) / ("x" + suffix), data
        data.write_bytes(content)
    try:
        clip = read_video(data, max_frames=40, max_side=160)
        assert isinstance(clip, Clip) and len(clip) == len(clip.times) and clip.frames.shape[-1] == 3
        read += 1
    except ClipAUTTError: refused += 1
print(read, refused)
"""


def mutated(data: bytes, g: random.Random) -> bytes:
    "A file with some bytes changed, cut off, repeated, taken out or shuffled."
    b = bytearray(data)
    for _ in range(g.choice((1, 3, 30, 300))):
        at, size = g.randrange(len(b)), g.choice((1, 1, 4, 64, 1024))
        how = g.choice(("flip", "zero", "cut", "repeat", "remove", "noise"))
        if how == "flip":
            b[at] ^= 1 << g.randrange(8)
        elif how == "zero":
            b[at : at + size] = bytes(len(b[at : at + size]))
        elif how == "noise":
            b[at : at + size] = g.randbytes(len(b[at : at + size]))
        elif how == "repeat":
            b[at:at] = b[at : at + size]
        elif how == "remove" and len(b) > size + 16:
            del b[at : at + size]
        elif how == "cut" and g.random() < 0.1 and at > 16:
            del b[at:]
    return bytes(b)


def fuzz(n: int, *sources: Path) -> tuple[int, int]:
    out = run_python(FUZZ, n, *sources, cwd=Path(__file__).parents[1])
    assert out.returncode == 0, f"exit {out.returncode}: {out.stderr[-2000:]}"
    read, refused = map(int, out.stdout.split()[-2:])
    assert read + refused == n
    return read, refused


def odd_films(folder: Path, pictures: np.ndarray) -> list[Path]:
    "Films and pictures as people bring them: B-frames without display times, animations, pages, 12 bits in 16."
    from fractions import Fraction

    import av
    from PIL import Image

    paths = [folder / name for name in ("a.avi", "b.wmv", "c.flv", "d.ts")]
    for path in paths:
        with av.open(str(path), "w") as c:
            s = c.add_stream("libx264", rate=25, options={"bf": "3", "b-adapt": "0"})
            s.height, s.width, s.pix_fmt = *pictures.shape[1:3], "yuv420p"
            s.codec_context.sample_aspect_ratio = Fraction(4, 3)
            for image in pictures:
                c.mux(s.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            c.mux(s.encode())
    images = [Image.fromarray(image) for image in pictures[:5]]
    deep = [Image.fromarray(image[..., 0].astype(np.uint16) << 4) for image in pictures[:5]]
    for name, some in (("e.webp", images), ("f.png", images), ("g.tif", images), ("h.tif", deep)):
        some[0].save(
            folder / name, save_all=True, append_images=some[1:], **({} if "tif" in name else {"duration": 40})
        )
        paths.append(folder / name)
    return paths


def test_damaged_videos_are_read_or_refused(tmp_path):
    portrait = moving_portrait(1, size=64)
    files = [write_video(portrait, tmp_path / "x.mp4"), write_video(portrait, tmp_path / "y.webm")]
    read, refused = fuzz(160, *files, *odd_films(tmp_path, portrait.frames))
    assert read > 5 and refused > 5, "the damage is neither harmless nor always fatal"


@pytest.mark.skipif(not (SHARED / "data/video").is_dir(), reason="the real videos of ../shared are not here")
def test_damaged_real_videos_are_read_or_refused():
    small = [
        p
        for p in sorted((SHARED / "data/video").iterdir())
        if p.stat().st_size < 3e6 and p.suffix in (".mp4", ".mov", ".webm")
    ]
    if not small:
        pytest.skip("no real video under 3 MB")
    fuzz(40, *small)
