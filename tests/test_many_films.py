"""Studies: folders of films of several people, names that no terminal can write, places that cannot be written."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from safetensors import safe_open
from typer.testing import CliRunner

from clip_autt.cli.films import find_films
from clip_autt.cli.main import app
from clip_autt.faces.tasks import make_clip
from clip_autt.video.io import write_video

CLI = Path(sys.executable).with_name("clip-autt")
NOWHERE = "/proc/nope"  # no user can make a folder here, not even root


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    "Two people, two films each, and a file that is no film."
    root = tmp_path_factory.mktemp("study")
    for number, who in ((30_001, "anna"), (30_002, "ben")):
        for day, label in enumerate(("pain", "neutral"), 9):
            write_video(make_clip("pain", number, label, every=4), root / who / f"{who}_day{day}.mp4")
    (root / "anna" / "anna_broken.mp4").write_text("no film")
    (root / "anna" / "notes.txt").write_text("calm today")
    return root


def call(*args, code=0):
    result = CliRunner().invoke(app, [*map(str, args), "--crop", "none"])
    assert result.exit_code == code, result.output
    return result


def personalize(*args, code=0):
    return json.loads(call("personalize", *args, "--json", "-", code=code).stdout)


def test_a_study_is_one_argument(study, tmp_path):
    options = ["--recursive", "--subject-from", "folder"]
    records = personalize(study, *options, "--csv", tmp_path / "r.csv", code=1)
    assert [(Path(r["path"]).name, r["subject"]) for r in records] == [
        ("anna_broken.mp4", "anna"),
        ("anna_day9.mp4", "anna"),
        ("anna_day10.mp4", "anna"),
        ("ben_day9.mp4", "ben"),
        ("ben_day10.mp4", "ben"),
    ]
    table = pd.read_csv(tmp_path / "r.csv")
    assert [*table.path] == [r["path"] for r in records] and [*table.subject] == ["anna"] * 3 + ["ben"] * 2
    assert [*table.columns[:5]] == ["path", "subject", "label", "prob_neutral", "prob_pain"]
    assert table.error.notna().tolist() == [True, False, False, False, False]
    assert table.prob_pain.tolist()[1:] == pytest.approx([r["probs"]["pain"] for r in records[1:]])
    assert table.prob_before_pain.tolist()[1:] == pytest.approx([r["probs_before"]["pain"] for r in records[1:]])


def test_people_are_adapted_to_apart(study):
    "Each person gets the numbers of a call of their own, though one call has both; without names they would not."
    each = [r for who in ("anna", "ben") for r in personalize(study / who, "--glob", "*day*")]
    both = ["--recursive", "--glob", "*day*"]
    for source in ("folder", "name"):
        records = personalize(study, *both, "--subject-from", source)
        assert [r["probs"] for r in records] == [r["probs"] for r in each]
    assert [r["probs"] for r in personalize(study, *both)][:2] == [r["probs"] for r in each][:2]
    assert [r["probs"] for r in personalize(study, *both)][2:] != [r["probs"] for r in each][2:]


def test_each_person_has_a_profile(study, tmp_path):
    options = [study, "--recursive", "--glob", "*day*", "--subject-from", "folder"]
    call("personalize", *options, "--save-profile", tmp_path / "profiles", "-q")
    for who in ("anna", "ben"):
        with safe_open(tmp_path / "profiles" / f"{who}.safetensors", "pt") as f:
            assert f.get_tensor("n") == 2
    (tmp_path / "profiles" / "ben.safetensors").unlink()
    again = call("personalize", *options, "--profile", tmp_path / "profiles", "--json", tmp_path / "o.json")
    assert "ben starts without one" in again.stderr and "anna starts" not in again.stderr
    first, again = personalize(*options), json.loads((tmp_path / "o.json").read_text())
    same = [a["probs"] == b["probs"] for a, b in zip(first, again, strict=True)]
    assert same == [False, False, True, True]


def test_a_profile_that_cannot_be_saved_costs_no_answer(study, tmp_path):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "p.safetensors"
    records = personalize(study / "ben", "--save-profile", out, code=1)
    assert [r["label"] is not None for r in records] == [True, True]
    assert all(any("the profile is not saved" in w for w in r["warnings"]) for r in records)


def test_a_batch_that_is_stopped_has_saved_the_profile(study, tmp_path, monkeypatch):
    from clip_autt.cli import main

    def work(path):
        if Path(path).stem == "ben_day10":
            raise KeyboardInterrupt

    adapt = main._adapt
    monkeypatch.setattr(main, "_adapt", lambda method, path, *args: work(path) or adapt(method, path, *args))
    CliRunner().invoke(
        app, ["personalize", str(study / "ben"), "--crop", "none", "--save-profile", str(tmp_path / "p.safetensors")]
    )
    with safe_open(tmp_path / "p.safetensors", "pt") as f:
        assert f.get_tensor("n") == 1


@pytest.mark.parametrize(
    "options, message",
    [
        ([], "--recursive looks into"),
        (["--glob", "*.mkv", "--recursive"], "no film that fits *.mkv"),
        (["--recursive", "--subject-from", "face"], "'folder' or 'name'"),
        (["--recursive", "--subject-from", "folder", "--save-profile", "p.safetensors"], "a folder of profiles"),
        (["--recursive", "--save-profile", "profiles"], "a profile is a .safetensors file"),
        (["--recursive", "--csv", "-"], "'-' is no file"),
        (["--recursive", "--csv", "same", "--json", "same"], "where another result goes"),
        (["--recursive", "--backbone", "ViT-L-14"], "belongs to a head"),
        (["--recursive", "--classes", "a,b"], "belongs to a head"),
        (["--recursive", "--device", "abacus"], "device 'abacus' cannot be used here"),
        (["--recursive", "--json", f"{NOWHERE}/o.json"], "cannot be written"),
        (["--recursive", "--csv", f"{NOWHERE}/o.csv"], "cannot be written"),
    ],
)
def test_what_cannot_be_is_one_line(study, options, message):
    said = call("personalize", study, *options, code=1).stderr.strip().splitlines()[-1]
    assert said.startswith("error: ") and message in said


def test_nothing_that_is_written_replaces_a_film(study):
    film = study / "ben" / "ben_day9.mp4"
    before = film.read_bytes()
    for option in ("--csv", "--json", "--save-profile"):
        assert "is the film itself" in call("personalize", film, option, film, code=1).stderr.replace(
            "a profile is a .safetensors file", "is the film itself"
        )
    assert film.read_bytes() == before


def test_each_film_is_taken_once(study, tmp_path):
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "ben").symlink_to(study / "ben")
    (tmp_path / "all" / "circle").symlink_to(tmp_path)
    assert [Path(p).name for p in find_films([str(tmp_path)], recursive=True)] == ["ben_day9.mp4", "ben_day10.mp4"]
    film = study / "ben" / "ben_day9.mp4"
    assert "the same film as" in call("predict", film, study / "ben", code=1).stderr
    assert "empty name" in call("predict", "", code=1).stderr
    assert "no folder is given" in call("predict", film, "--glob", "*.avi", code=1).stderr


def test_a_folder_that_cannot_be_read_is_one_error_among_answers(study, monkeypatch):
    inside = Path.iterdir

    def iterdir(self):
        if self.name == "anna":
            raise PermissionError(13, "Permission denied")
        return inside(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    records = personalize(study, "--recursive", code=1)
    assert [r["error"] is None for r in records] == [False, True, True]


def test_how_a_study_was_understood_is_said(study, tmp_path):
    told = call("personalize", study, "--recursive", "--glob", "*day9*", "--subject-from", "folder", "-q").stderr
    assert told.startswith("note: 2 people: anna (1 film), ben (1 film)")
    one = call("personalize", study, "--recursive", "--glob", "*day9*", "-q").stderr
    assert "2 films in 2 folders are taken for one person" in one
    for who in ("anna", "ben"):
        (tmp_path / who / "pain").mkdir(parents=True)
        (tmp_path / who / "pain" / "1.mp4").write_bytes(b"x")
    options = [tmp_path, "--recursive", "--subject-from", "folder"]
    assert "the name of one person, pain" in call("personalize", *options, code=1).stderr


def test_pictures_that_may_be_meant_otherwise_are_said(study, tmp_path):
    for name in ("anna.png", "zoe.png"):
        Image.new("RGB", (96, 96)).save(tmp_path / name)
    assert "2 pictures are read as the frames of one film" in call("predict", tmp_path).stderr
    assert len(find_films([str(tmp_path)], "*.png")) == 2
    (tmp_path / "day.mp4").write_bytes((study / "ben" / "ben_day9.mp4").read_bytes())
    assert "2 pictures beside films are not read" in call("predict", tmp_path).stderr


@pytest.mark.parametrize(
    "splits, said",
    [
        (("source", "validation", "target"), "2 clips to train on, 2 to validate on; 1 for testing are left out"),
        (("train", "val", "test"), "2 clips to train on, 2 to validate on; 1 for testing are left out"),
        (("source", "validation", "holdout"), "split is 'holdout' in some rows"),
        (("test", "val", "target"), "no row has split train or source"),
    ],
)
def test_people_for_testing_are_never_trained_on(study, tmp_path, splits, said):
    clips = [
        (study / who / f"{who}_day{day}.mp4", who, label, split)
        for who, split in (("ben", splits[0]), ("anna", splits[1]))
        for day, label in ((9, "pain"), (10, "neutral"))
    ]
    (tmp_path / "stranger.mp4").write_bytes(clips[0][0].read_bytes())
    rows = [",".join(map(str, clip)) for clip in (*clips, ("stranger.mp4", "zoe", "pain", splits[2]))]
    (tmp_path / "m.csv").write_text("\n".join(["path,subject,label,split", *rows]))
    code = 1 if splits[2] == "holdout" or splits[0] == "test" else 0
    out = ["--out", tmp_path / "head", "--epochs", 1, "--no-personal", "-q"]
    assert said in call("train", tmp_path / "m.csv", *out, code=code).stderr


def test_a_person_in_two_splits_is_said(tmp_path):
    (tmp_path / "m.csv").write_text("path,subject,label,split\na.mp4,p1,x,source\nb.mp4,p2,y,target\nc.mp4,p1,y,target")
    shown = CliRunner().invoke(app, ["datasets", "check", str(tmp_path / "m.csv")]).output
    assert "'p1' (line 2 'source', line 4 'target')" in shown and "p2" not in shown.split("several splits")[1]


def test_action_units_of_a_study(study, tmp_path):
    call("aus", study, "--recursive", "--csv", tmp_path / "tables", "--fps", 2, code=1)
    assert sorted(p.name for p in (tmp_path / "tables").rglob("*.csv")) == [
        "anna_day10.csv",
        "anna_day9.csv",
        "ben_day10.csv",
        "ben_day9.csv",
    ]


def run(*args, **environment):
    "The installed command in another environment."
    there = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run([CLI, *map(str, args)], capture_output=True, env=there, timeout=300)


def test_names_that_the_output_has_no_letters_for(study, tmp_path):
    data = (study / "ben" / "ben_day9.mp4").read_bytes()
    names = [os.fsencode(tmp_path) + b"/" + name for name in ("Łukasz.mp4".encode(), b"\xff.mp4", b"z.mp4")]
    try:
        for name in names:
            with open(name, "wb") as f:
                f.write(data)
    except OSError:
        pytest.skip("this file system refuses names that are not UTF-8")
    western = dict(PYTHONIOENCODING="cp1252", PYTHONUTF8="0")
    table, file = tmp_path / "o.csv", tmp_path / "o.json"
    r = run("predict", "--crop", "none", tmp_path, "--csv", table, "--json", file, **western)
    out = r.stdout.decode("cp1252")
    assert r.returncode == 0 and b"Traceback" not in r.stderr
    assert re.findall(r"(\S+)\.mp4\n", out.replace(f"{tmp_path}/", "")) == ["z", r"\u0141ukasz", r"\udcff"]
    records = json.loads(file.read_text(encoding="utf-8"))
    assert {os.fsencode(x["path"]) for x in records} == {*names}
    assert len(pd.read_csv(table)) == 3
    r = run("predict", "--crop", "none", tmp_path, "--json", "-", **western)
    assert {os.fsencode(x["path"]) for x in json.loads(r.stdout)} == {*names}


@pytest.mark.parametrize(
    "variable, first, people, change",
    [
        ("JOBLIB_TEMP_FOLDER", "0", "2", {"JOBLIB_TEMP_FOLDER": NOWHERE}),
        ("CLIP_AUTT_CACHE", "22000", "1", {"CLIP_AUTT_CACHE": "", "XDG_CACHE_HOME": "", "HOME": NOWHERE}),
    ],
)
def test_work_goes_on_where_nothing_can_be_kept(variable, first, people, change, tmp_path):
    if not Path("/proc/self").exists():
        pytest.skip("there is no /proc on this system")
    methods, size = ["--methods", "clip-au,personal"], ["--seed", first, "--subjects", people, "--jobs", "2"]
    r = run("evaluate", *methods, *size, "--json", tmp_path / "o.json", "-q", **change)
    said = r.stderr.decode()
    assert r.returncode == 0 and said.startswith("note: ") and said.count("\n") == 1 and variable in said
    found = json.loads((tmp_path / "o.json").read_text())
    assert found["n_videos"] == 20 * int(people) and "complete" not in found
