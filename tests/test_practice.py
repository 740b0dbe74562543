"""Practice trees: names, numbers and quirks of the real data sets, the same bytes every time, nothing half written."""

import csv
import hashlib
import re
from collections import Counter, defaultdict

import numpy as np
import pytest
from PIL import Image

from clip_autt.faces import practice
from clip_autt.data.bah import BAH
from clip_autt.data.biovid import BioVid
from clip_autt.data.facts import FACTS
from clip_autt.utils.errors import ClipAUTTError, ManifestError
from clip_autt.faces.practice import STRESS_RATES, make_practice_dataset
from clip_autt.data.stressid import StressID
from clip_autt.video.io import read_video

PAIR = {"biovid": ["082208_w_45", "081014_w_27"], "stressid": ["2hpu", "kycf"], "bah": ["82553", "82687"]}
SMALL = {"biovid": dict(clips=2, frames=6), "stressid": dict(clips=3, frames=4), "bah": dict(clips=2, frames=20)}
ADAPTERS = {"biovid": BioVid, "stressid": StressID, "bah": BAH}


def make(name, root, layout="cropped", **kwargs):
    return make_practice_dataset(
        name, root, layout, **{"people": PAIR[name], "size": 32, "progress": False, **SMALL[name], **kwargs}
    )


def digest(root):
    return {
        str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(root.rglob("*"))
        if f.is_file()
    }


def lines(path):
    return [line.rsplit(" ", 1) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    "A small tree of each data set in each layout."
    d = tmp_path_factory.mktemp("trees")
    return {(name, layout): make(name, d / f"{name}-{layout}", layout) for name in PAIR for layout in practice.LAYOUTS}


def test_biovid_frames(tmp_path):
    root = make("biovid", tmp_path / "b", people=["082208_w_45"], clips=3, frames=75)
    files = [str(f.relative_to(root)) for f in root.rglob("*.jpg")]
    clips = Counter(f.rsplit("/", 1)[0] for f in files)
    assert all(
        re.fullmatch(r"sub_red_classes_img/082208_w_45/082208_w_45-(BL1-(08[1-9]|09\d|100)|PA4-0[0-8]\d)", c)
        for c in clips
    )
    assert sorted(c.split("-")[1] for c in clips) == ["BL1", "BL1", "PA4"] and {*clips.values()} == {75}
    one = next(iter(clips))
    assert {f for f in files if f.startswith(one)} == {f"{one}/image{ms}.jpg" for ms in range(2040, 5001, 40)}
    listed = lines(root / "biovid_source_sub_labels.txt")
    assert sorted(f for f, _ in listed) == sorted(files) and all((label == "1") == ("PA4" in f) for f, label in listed)
    first = [int(re.search(r"image(\d+)", f)[1]) for f, _ in listed[:75]]
    assert first != sorted(first) and len({f.rsplit("/", 1)[0] for f, _ in listed[:75]}) == 1, (
        "frames shuffled within a video"
    )
    assert Image.open(root / files[0]).size == (32, 32)


def test_stressid_frames(trees):
    root = trees["stressid", "cropped"]
    files = [str(f.relative_to(root)) for f in root.rglob("*.jpg")]
    numbers = defaultdict(list)
    for f in files:
        who, task, n = re.fullmatch(r"sub_images/(\w{4})/\1_(\w+)/image_(0|[1-9]\d*)\.jpg", f).groups()
        assert task in STRESS_RATES
        numbers[who].append(int(n))
    assert all(n % 62 == 0 for n in numbers["2hpu"]) and all(n % 5 == 0 for n in numbers["kycf"])
    listed = lines(root / "stress_source_sub_labels.txt") + lines(root / "target_files/kycf.txt")
    assert sorted(f for f, _ in listed) == sorted(files)
    for who in numbers:
        assert {label for f, label in listed if f"/{who}/" in f} == {"0", "1"}


def test_stress_depends_on_the_task_and_faces_get_lost():
    "All of StressID, planned and not rendered."
    s = practice._settings("stressid", "cropped", None, None, 64, 0)
    plans = {who: practice._stressid(s, who) for who in FACTS["stressid"].splits}
    stressed, kept = defaultdict(list), {}
    for who, recordings in plans.items():
        assert [r.name.split("_")[1] for r in recordings] == [*STRESS_RATES]
        for r in recordings:
            stressed[r.name.split("_")[1]].append(r.stretches[0].label == "stress")
        kept[who] = sum(len(r.numbers) for r in recordings) / sum(r.stretches[0].pictures for r in recordings)
    for task, answers in stressed.items():
        assert abs(np.mean(answers) - STRESS_RATES[task][0]) < 0.25, task
    assert np.mean(stressed["Relax"]) < 0.4 < 0.6 < np.mean(stressed["Counting2"])
    assert kept["chdf"] < 0.4 < 0.9 < kept["9j3o"]
    assert min(len(r.numbers) for recordings in plans.values() for r in recordings) >= 2


def test_bah_segments(tmp_path):
    root = make("bah", tmp_path / "b", frames=120, clips=1)
    faces = root / "BAH_DB/cropped-aligned-faces/Videos"
    on_disk = {
        str(f.relative_to(faces.parent)): {int(g.stem[6:]) for g in f.iterdir()} for f in faces.glob("*/Visite_1/*")
    }
    assert {" " in name for name in on_disk} == {True, False}, "a name with a space and one without"
    pattern = r"Videos/(\d{5})/Visite_1/\1_Question_1_\d{4}-\d\d-\d\d[ _]\d\d-\d\d-\d\d_Video(-DESKTOP-\w{7})?\.mp4"
    assert all(re.fullmatch(pattern, name) for name in on_disk)
    assert {path.name for path in root.glob("*.csv")} == {
        "bah_source_sub_train_labels.csv",
        "bah_target_sub_labels.csv",
    }
    rows = [row for path in root.glob("*.csv") for row in csv.DictReader(path.open())]
    assert [*rows[0]] == ["video", "segment_id", "label", "num_frames", "start_frame", "end_frame"]
    by_video = defaultdict(list)
    for row in rows:
        by_video[row.pop("video")].append({k: int(v) for k, v in row.items()})
    assert {*by_video} == {name.replace(" ", "_") for name in on_disk}
    for name, frames in on_disk.items():
        assert frames == {*range(len(frames))}
        segments = by_video[name.replace(" ", "_")]
        assert [s["segment_id"] for s in segments] == [1, 2], "the brief one is on disk only"
        assert {s["label"] for s in segments} == {0, 1}
        assert all(s["num_frames"] == s["end_frame"] - s["start_frame"] + 1 for s in segments)
        assert segments[0]["num_frames"] > 100 > segments[1]["num_frames"] >= 16
        assert 0 < segments[0]["start_frame"] < 16 and segments[1]["end_frame"] == len(frames) - 1


def test_videos(trees):
    root = trees["biovid", "distributed"]
    rows = [*csv.DictReader((root / "PartA/starting_point/samples.csv").open(), delimiter="\t")]
    assert {"subject_name", "class_id", "sample_name"} <= {*rows[0]}
    assert Counter((r["subject_name"], r["class_id"]) for r in rows) == {
        **{(who, c): 1 for who in PAIR["biovid"] for c in "04"},
        **{(PAIR["biovid"][0], c): 1 for c in "123"},
    }
    assert {f.stem for f in (root / "PartA/video").rglob("*.mp4")} == {r["sample_name"] for r in rows}
    clip = read_video(next(root.rglob("*PA4*.mp4")))
    assert clip.frames.shape == (138, 56, 56, 3) and clip.fps == pytest.approx(25)
    still = np.abs(np.diff(clip.frames[:50].astype(int), axis=0)).mean()
    assert still < 1 < np.abs(clip.frames[110].astype(int) - clip.frames[20]).mean(), (
        "nothing moves before the part that is read"
    )

    root = trees["stressid", "distributed"]
    table = {row["subject/task"]: row for row in csv.DictReader((root / "labels.csv").open())}
    videos = {f.stem: f for f in root.glob("Videos/*/*.mp4")}
    assert {*table} == {*videos} and len(table) == 6
    assert all((row["affect3-class"] == "2") == (row["binary-stress"] == "1") for row in table.values())
    name, path = next(iter(videos.items()))
    seconds = round(4 * STRESS_RATES[name.split("_")[1]][1])
    assert len(read_video(path)) == 5 * seconds

    root = trees["bah", "distributed"]
    assert len([*root.glob("Videos/*/Visite_1/*.mp4")]) == 4
    for path in root.glob("*.csv"):
        for video, last in {row["video"]: int(row["end_frame"]) for row in csv.DictReader(path.open())}.items():
            clip = read_video(next(f for f in root.rglob("*.mp4") if video.endswith(f.name.replace(" ", "_"))))
            assert len(clip) == last + 1 and clip.fps == pytest.approx(24, rel=0.01)


@pytest.mark.parametrize("layout", practice.LAYOUTS)
@pytest.mark.parametrize("name", PAIR)
def test_the_readers_find_everything(trees, name, layout):
    data = ADAPTERS[name](trees[name, layout])
    assert data.layout == layout and not data.skipped and data.report.n_problems == 0 and data.report.lost_frames == 0
    assert {*data.subjects} == {*PAIR[name]}
    assert {(item.subject, item.label) for item in data} == {
        (who, label) for who in PAIR[name] for label in data.classes
    }
    assert len(data) == {"biovid": 4, "stressid": 6, "bah": 8}[name]


def test_the_same_arguments_give_the_same_bytes(trees, tmp_path):
    for layout in practice.LAYOUTS:
        again = make("biovid", tmp_path / layout, layout, n_jobs=1 + (layout == "cropped"))
        assert digest(again) == digest(trees["biovid", layout])
    other = digest(make("biovid", tmp_path / "seed", seed=1))
    assert not {*other.values()} & {*digest(trees["biovid", "cropped"]).values()}


def test_a_person_alone_is_the_person_in_company(trees, tmp_path):
    alone, all_ = digest(make("bah", tmp_path / "one", people="82687")), digest(trees["bah", "cropped"])
    frames = {f: h for f, h in alone.items() if f.endswith(".jpg")}
    assert frames.items() <= all_.items()


def test_an_interrupted_tree_goes_on(trees, tmp_path, monkeypatch):
    write, calls = practice._write, []

    def stop(s, folder, recording, film):
        calls.append(recording.name)
        if len(calls) == 4:
            raise KeyboardInterrupt
        write(s, folder, recording, film)

    monkeypatch.setattr(practice, "_write", stop)
    root = tmp_path / "b"
    with pytest.raises(KeyboardInterrupt):
        make("biovid", root)
    home = root / "sub_red_classes_img"
    assert [f.name for f in home.iterdir()] == ["082208_w_45"], "no half person, under no name"
    (home / ".081014_w_27-0123abcd/half").mkdir(parents=True)  # as a killed process leaves it
    monkeypatch.setattr(practice, "_write", write)
    before = {f: f.stat().st_mtime_ns for f in root.rglob("*.jpg")}
    make("biovid", root)
    assert {f: f.stat().st_mtime_ns for f in before} == before
    assert digest(root) == digest(trees["biovid", "cropped"])


def test_nothing_is_written_among_other_files(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for root in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(ManifestError, match="not a practice data set"):
            make("biovid", root)
    assert [f.name for f in tmp_path.iterdir()] == ["mine.txt"]
    make("stressid", tmp_path / "empty")
    for other in (dict(seed=1), dict(frames=5), dict(layout="distributed")):
        with pytest.raises(ManifestError, match="other settings"):
            make("stressid", tmp_path / "empty", **other)
    assert "do not exist" in (tmp_path / "empty/PRACTICE_DATA.txt").read_text()


def test_bad_arguments(tmp_path):
    for kwargs, message in (
        (dict(name="biovit"), "Did you mean 'biovid'"),
        (dict(layout="distribution"), "Did you mean 'distributed'"),
        (dict(people=["081014_w_28"]), "Did you mean"),
        (dict(people=[]), "people is empty"),
        (dict(people=0), "people=0"),
        (dict(clips=41), "clips=41: biovid takes 2 to 40"),
        (dict(frames=76), "frames=76"),
        (dict(size=8), "size=8"),
        (dict(seed=10), "seed=10"),
        (dict(n_jobs=0), "n_jobs=0"),
    ):
        with pytest.raises(ManifestError, match=message):
            make_practice_dataset(**{"name": "biovid", "root": tmp_path / "x", "progress": False, **kwargs})
    assert not (tmp_path / "x").exists()


def test_a_full_disk_is_one_clear_error(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(ClipAUTTError, match="No space left"):
        make("bah", tmp_path / "b")
    assert not [*(tmp_path / "b").rglob("82*")]


def test_actors_are_used_nowhere_else():
    numbers = [
        practice._number(name, who, seed) for name, facts in FACTS.items() for who in facts.splits for seed in range(10)
    ]
    assert len({*numbers}) == len(numbers) and 950_000 <= min(numbers) and max(numbers) < 970_000
