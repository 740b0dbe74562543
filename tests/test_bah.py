"""BAH: windows of segments, the published tables, names with spaces, and both layouts."""

import shutil
from collections import Counter

import numpy as np
import pytest
from conftest import SHARED
from hypothesis import given, strategies as st
from PIL import Image

from clip_autt.data.bah import BAH, frame_items, read_segments, read_video_labels, video_key, windows
from clip_autt.video.clip import Clip
from clip_autt.data.base import Findings
from clip_autt.data.facts import FACTS
from clip_autt.data.manifest import span_seconds
from clip_autt.data.encode import encode_manifest
from clip_autt.utils.errors import ManifestError
from clip_autt.video.io import read_video, write_video

OFFICIAL = SHARED / "data/official"
TABLES = {
    "source": OFFICIAL / "bah_source_sub_train_labels.csv",
    "validation": OFFICIAL / "bah_source_sub_val_labels.csv",
}
official = pytest.mark.skipif(
    not TABLES["source"].exists(), reason="the published label files are not on this machine (../shared)"
)
HEADER = "video,segment_id,label,num_frames,start_frame,end_frame"
PERSON, VIDEO = "82711", "82711_Question_1_2024-10-02_16-03-28_Video.mp4"


# ---- the published tables ----


@official
@pytest.mark.parametrize("split, segments, frames", [("source", 1782, 374_402), ("validation", 380, 82_041)])
def test_counts_of_the_published_tables(split, segments, frames):
    findings = Findings()
    found = read_segments([TABLES[split], TABLES[split]], findings)
    assert len(found) == segments and not findings.problems, "each row once, the first one as well"
    assert sum(s.end + 1 - s.start for s in found) == frames
    names = FACTS["bah"].classes
    clips = Counter(names[int(s.label)] for s in found for _ in windows(s.start, s.end))
    expected = dict(
        subjects=len({s.subject for s in found}), videos=len({s.video for s in found}), clips=clips.total(), **clips
    )
    assert FACTS["bah"].expected[split] == expected and {s.subject for s in found} == set(getattr(FACTS["bah"], split))


@official
def test_no_frame_of_the_published_tables_is_dropped_or_wrapped():
    for segment in read_segments(TABLES.values(), Findings()):
        spans = list(windows(segment.start, segment.end))
        assert {i for a, b in spans for i in range(a, b + 1)} == set(range(segment.start, segment.end + 1))
        assert all(16 <= b - a + 1 <= 100 for a, b in spans)


@official
def test_items_of_the_published_tables():
    findings = Findings()
    segments = read_segments(TABLES.values(), findings)
    everything = {i: f"frame-{i}.jpg" for i in range(1 + max(s.end for s in segments))}
    items = [item for s in segments[:300] for item in frame_items(s, OFFICIAL / s.video, everything, findings)]
    assert len({i.id for i in items}) == len(items) and not findings.skipped and not findings.lost_frames
    for item in items:
        first, last = map(int, item.id.rpartition("[")[2][:-1].split("-"))
        assert [f.name for f in item.path.files] == [f"frame-{i}.jpg" for i in range(first, last + 1)]
        assert np.allclose(item.path.times, np.arange(first, last + 1) / 24)


# ---- windows ----


@given(st.integers(0, 500), st.integers(1, 900), st.integers(17, 120))
def test_windows_cover_the_segment_and_nothing_else(start, length, size):
    end = start + length - 1
    spans = list(windows(start, end, size))
    assert {i for a, b in spans for i in range(a, b + 1)} == set(range(start, end + 1))
    assert len(spans) == -(-length // size) and spans[-1][1] == end
    assert all(b - a + 1 <= size for a, b in spans) and all(b - a + 1 >= min(16, length) for a, b in spans)
    assert [a for a, _ in spans[:-1]] == [start + size * i for i in range(len(spans) - 1)], "consecutive"


def test_a_short_rest_borrows_from_before():
    assert list(windows(0, 203)) == [(0, 99), (100, 199), (188, 203)]
    assert list(windows(7, 7)) == [(7, 7)] and list(windows(0, 115)) == [(0, 99), (100, 115)]


# ---- names ----


@pytest.mark.parametrize(
    "path",
    [
        f"Videos/{PERSON}/Visite_1/{VIDEO}",
        f"Videos/{PERSON}/Visite_1/{VIDEO.replace('_16-', ' 16-')}",
        f"Videos\\{PERSON}\\Visite_1\\{VIDEO}",
        f"x/y/{PERSON}/V 2/{VIDEO}",
    ],
)
def test_spellings_of_a_video(path):
    assert video_key(path) == (PERSON, VIDEO)


def test_a_path_of_another_form_is_no_video():
    for path in ("", VIDEO, f"{PERSON}/{VIDEO}", f"Videos/{PERSON}/Visite_1/x.txt"):
        with pytest.raises(ValueError):
            video_key(path)


# ---- trees ----


def table(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        f"Videos/{person}/Visite_1/{video},{n},{label},{end + 1 - start},{start},{end}"
        for person, video, n, label, start, end in rows
    ]
    path.write_text("\n".join([HEADER, *lines]))


def faces(root, person, video, numbers, image=None):
    folder = root / "cropped-aligned-faces/Videos" / person / "Visite_1" / video
    folder.mkdir(parents=True)
    for n in numbers:
        if image:
            image.save(folder / f"frame-{n}.jpg")
        else:
            (folder / f"frame-{n}.jpg").touch()
    return folder


@pytest.fixture
def db(tmp_path):
    root = tmp_path / "BAH_DB"
    faces(root, PERSON, VIDEO.replace("_16-", " 16-"), range(150))
    table(root / "target.csv", (PERSON, VIDEO, 0, 0, 0, 119), (PERSON, VIDEO, 2, 1, 120, 149))
    return root


def test_a_name_with_a_space_is_found(db):
    data = BAH(db)
    assert [(i.id.partition("#")[2], i.label, len(i.path)) for i in data] == [
        ("0[0-99]", "neutral", 100), ("0[100-119]", "neutral", 20), ("2[120-149]", "ambivalence", 30),
    ]  # fmt: skip
    assert not data.report.n_problems and data.report.found["target"] == dict(
        subjects=1, videos=1, clips=3, neutral=2, ambivalence=1
    )
    assert all(f.exists() for i in data for f in i.path.files)
    assert (data.layout, data.fps, data.crop, data.classes) == ("cropped", 12, "none", ("neutral", "ambivalence"))


@pytest.mark.parametrize("start", ["..", ".", "cropped-aligned-faces", "cropped-aligned-faces/Videos"])
def test_the_folder_may_be_pointed_at_from_inside_or_above(db, start):
    assert BAH(db / start).items == BAH(db).items


def test_the_frames_are_in_order_of_numbers(db):
    item = BAH(db)[0]
    assert [f.name for f in item.path.files[:12]] == [f"frame-{i}.jpg" for i in range(12)]
    assert item.path.times[1] == 1 / 24


def test_lost_frames_and_lost_windows(db):
    folder = db / "cropped-aligned-faces/Videos" / PERSON / "Visite_1" / VIDEO.replace("_16-", " 16-")
    for n in (3, 4, *range(100, 120)):
        (folder / f"frame-{n}.jpg").unlink()
    table(db / "more.csv", ("82687", "82687_x_Video.mp4", 0, 0, 0, 19), (PERSON, "82711_y_Video.mp4", 0, 0, 0, 19))
    data = BAH(db)
    assert [len(i.path) for i in data] == [98, 30] and data.report.lost_frames == 22
    assert [s.reason for s in data.skipped] == ["no video of this person", "no such video", "none of its frames exists"]
    assert data.report.n_problems == 4 and any("82687: no video of this person" in p for p in data.report.problems)


def test_rows_that_make_no_sense_are_named(db):
    (db / "bad.csv").write_text(
        f"{HEADER}\n{VIDEO},0,1,10,0,9\nVideos/1/V/{VIDEO},0,2,10,0,9\nVideos/1/V/{VIDEO},0,1,1,9,3\nVideos/1/V/{VIDEO},0,1,1,,\n"
    )
    report = BAH(db).report
    assert [p.split(":")[0] for p in report.problems] == [f"bad.csv, line {n}" for n in (2, 3, 4, 5)]


def test_a_segment_with_two_labels_is_skipped(db):
    table(db / "other.csv", (PERSON, VIDEO, 2, 0, 120, 149))
    data = BAH(db)
    assert len(data) == 2 and data.skipped[0].reason == "listed with label 0 and with label 1"


def test_people_of_all_splits(db, tiny):
    image = Image.new("RGB", (16, 16), (200, 120, 0))
    for person in ("82553", "82579", "11111"):
        faces(db, person, f"{person}_Question_2_Video.mp4", range(20), image)
    table(db / "csv/rest.csv", *((p, f"{p}_Question_2_Video.mp4", 0, 1, 0, 19) for p in ("82553", "82579", "11111")))
    data = BAH(db)
    assert {i.subject: i.split for i in data} == {"82553": "source", "82579": "validation", PERSON: "target"}
    assert data.report.left_out == {"of other people": 1}
    videos = encode_manifest(tiny, data.part("validation"), data.fps, data.crop, progress=False)
    assert len(videos) == 1 and len(videos[0].video) == 10, "24 frames a second, every second one"


@pytest.fixture
def films(tmp_path):
    grey = (np.arange(130, dtype=np.uint8))[:, None, None, None] + np.zeros((1, 32, 32, 3), np.uint8)
    path = tmp_path / "Videos" / PERSON / "Visite_1" / VIDEO.replace("_16-", " 16-")
    write_video(Clip(grey, np.arange(130) / 24), path)
    return tmp_path


def test_films_are_cut_by_the_same_windows(films):
    table(films / "target.csv", (PERSON, VIDEO, 0, 0, 0, 104), (PERSON, VIDEO, 1, 1, 105, 129))
    data = BAH(films)
    assert [(i.start, i.end) for i in data] == [(0, 99), (89, 104), (105, 129)] and (data.layout, data.crop) == (
        "distributed",
        "auto",
    )
    start_s, stop_s = span_seconds(data[1])
    clip = read_video(data[1].path, start_s=start_s, stop_s=stop_s)
    assert np.allclose(clip.times, np.arange(89, 105) / 24, atol=1e-3)
    whole = read_video(data[1].path)
    assert np.array_equal(clip.frames, whole.frames[89:105])


def test_lists_of_whole_videos(films):
    with pytest.raises(ManifestError, match="videos, but no label"):
        BAH(films)
    public = films / "dataset-splits/video-level/BAH_DB/split-0"
    public.mkdir(parents=True)
    spaced = VIDEO.replace("_16-", " 16-")
    (public / "test.txt").write_text(
        f'Videos/{PERSON}/Visite_1/{spaced},1,"Well, yes.\nNo, 0."\nVideos/82687/Visite_1/82687_x.mp4,0,\n'
    )
    for data in (
        BAH(films),
        BAH(films, labels=public / "test.txt"),
        BAH(films / "Videos", labels=[public / "test.txt"]),
    ):
        assert [(i.id, i.label, i.start, i.end) for i in data] == [(VIDEO[:-4], "ambivalence", None, None)]
        assert data.report.expected["source"] == dict(subjects=143, videos=616, clips=616, neutral=276, ambivalence=340)
    assert len(read_video_labels([public / "test.txt"], Findings())) == 2


def test_whole_videos_of_faces(db):
    (db / "target.csv").unlink()
    (db / "test.txt").write_text(f"Videos/{PERSON}/Visite_1/{VIDEO},0,hello\n")
    (item,) = BAH(db)
    assert len(item.path) == 150 and item.id == VIDEO[:-4] and item.label == "neutral"


def test_faces_go_before_films(db, films):
    shutil.copytree(films / "Videos", db / "Videos")
    assert BAH(db).layout == "cropped" and BAH(db, layout="distributed").layout == "distributed"


def test_a_table_of_something_else(db):
    (db / "x.csv").write_text("a,b\n1,2\n")
    assert len(BAH(db)) == 3, "not a table of segments, and not in the way"
    with pytest.raises(ManifestError, match="no columns video, segment_id"):
        BAH(db, labels=db / "x.csv")
