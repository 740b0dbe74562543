"Data sets from the command line, end to end on rehearsal trees: look, train, evaluate, stop, go on."

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clip_autt.data.load import load_data_set
from clip_autt.cli.main import app
from clip_autt.data.facts import FACTS
from clip_autt.faces.practice import make_practice_dataset

PARTS = "source", "validation", "target"
SEEN = "82553", "82567", "82614", "82617", "82711", "82585"  # people of BAH whose rendered faces the detector finds


def run(*args) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*map(str, args)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    "Practice trees of two people a part, made when they are asked for."
    root, made = tmp_path_factory.mktemp("trees"), {}

    def of(name: str, layout: str) -> Path:
        if (name, layout) not in made:
            people, frames = SEEN if name == "bah" else 2, 8 if name == "stressid" else 30
            made[name, layout] = make_practice_dataset(
                name, root / f"{name}-{layout}", layout, people, 2, frames, progress=False
            )
        return made[name, layout]

    return of


def protocol(name: str, root: Path, out: Path, *more) -> tuple[int, str]:
    return run(
        "protocol",
        name,
        "--root",
        root,
        "--out",
        out,
        "--backbone",
        "facs-tiny",
        "--epochs",
        1,
        "--methods",
        "clip-au,personal",
        "-q",
        *more,
    )


@pytest.mark.parametrize("layout", ["cropped", "distributed"])
@pytest.mark.parametrize("name", [*FACTS])
def test_the_protocol_runs_on_every_layout(tree, tmp_path, name, layout):
    root, out = tree(name, layout), tmp_path / "run"
    code, text = protocol(name, root, out)
    assert code == 0 and "PRACTICE: rendered faces" in text and "as published" in text, text
    data, summary = load_data_set(name, root), json.loads((out / "summary.json").read_text())
    target = data.part("target")
    assert summary["n_videos"] == len(target) and summary["n_subjects"] == len(target.subjects) == 2
    assert (
        summary["complete"] is True
        and summary["rendered_faces"] is True
        and summary["lost_clips"] == dict.fromkeys(PARTS, 0)
    )
    assert {*summary["methods"]} == {"clip-au", "personal"} and ("task-prior" in summary["table_percent"]) == (
        name == "stressid"
    )
    assert summary["table_percent"]["clip-au"]["paper_war"] == {"biovid": 78.0, "stressid": 66.5, "bah": 68.3}[name]
    assert summary["table_percent"]["personal"]["paper_war"] is None, "ours was not published by them"
    for subject in target.subjects:
        person = json.loads((out / "subjects" / f"{subject}.json").read_text())
        truth = {item.id: item.label for item in target if item.subject == subject}
        for said in person["methods"].values():
            assert {v["video"]: v["label"] for v in said["videos"]} == truth
            assert said["war"] == pytest.approx(sum(v["label"] == v["predicted"] for v in said["videos"]) / len(truth))
    written = {
        p: p.stat().st_mtime_ns
        for folder in ("features", "units", "model")
        for p in (out / folder).rglob("*")
        if p.is_file()
    }
    assert protocol(name, root, out) == (code, text), "the same call again says the same"
    assert {p: p.stat().st_mtime_ns for p in written if p.parts[-3] != "features"} == {
        p: t for p, t in written.items() if p.parts[-3] != "features"
    }


def test_a_run_folder_belongs_to_one_setting(tree, tmp_path):
    root = tree("stressid", "cropped")
    assert protocol("stressid", root, tmp_path)[0] == 0
    code, text = protocol("stressid", root, tmp_path, "--seed", 1)
    assert code == 1 and "seed 0 there, 1 now" in text and "another folder" in text


def test_features_are_shared_between_runs_where_they_are_asked_to(tree, tmp_path):
    root = tree("stressid", "cropped")
    for seed in (0, 1):
        assert (
            protocol("stressid", root, tmp_path / f"run{seed}", "--seed", seed, "--store", tmp_path / "store")[0] == 0
        )
    assert not (tmp_path / "run0" / "features").exists()
    code, text = run("store", "info", tmp_path / "store", "--json", "-")
    assert code == 0 and json.loads(text)["entries"] == len(load_data_set("stressid", root))


def test_clips_that_are_broken_are_left_out_and_written_down(tmp_path):
    root = make_practice_dataset(
        "biovid", tmp_path / "tree", "distributed", people=2, clips=2, frames=30, progress=False
    )
    broken = sorted((root / "PartA/video").rglob("*BL1*.mp4"))
    target = next(p for p in broken if p.parent.name in FACTS["biovid"].target)
    target.write_bytes(b"no video")
    code, text = protocol("biovid", root, tmp_path / "run")
    assert code == 0 and "1 clips of the target people could not be used, see lost/target.json" in text, text
    lost = json.loads((tmp_path / "run/lost/target.json").read_text())
    assert [x["clip"] for x in lost] == [target.stem] and "not a video" in lost[0]["reason"]


@pytest.mark.parametrize("args, said", [
    (("datasets", "check", "biovid", "--root", "nowhere"), "no such folder"),
    (("datasets", "check", "biovd", "--root", "."), "Did you mean 'biovid'"),
    (("datasets", "check", "bah"), "Give --root"),
    (("datasets", "check", "nowhere.csv"), "no such file"),
    (("protocol", "bah", "--out", "x"), "Give --root"),
    (("store", "info", "nowhere"), "no such folder"),
    (("datasets", "make", "emotions", "--root", "x"), "is no data set"),
])  # fmt: skip
def test_what_is_wrong_costs_one_line(args, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, text = run(*args)
    assert code == 1 and said in text and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [*FACTS])
def test_a_check_counts_what_is_there(tree, name):
    code, text = run("datasets", "check", name, "--root", tree(name, "cropped"), "--json", "-")
    report = json.loads(text)
    assert code == 0 and report["ok"] and not report["complete"], "usable, though most people are missing"
    assert [report["found"][part]["subjects"] for part in PARTS] == [2, 2, 2]
    assert len(report["missing"]["source"]) == len(FACTS[name].source) - 2


def test_a_template_is_a_manifest_whose_clips_are_missing(tmp_path):
    path = tmp_path / "clips.csv"
    assert run("datasets", "template", path)[0] == 0
    code, text = run("datasets", "check", path)
    assert code == 1 and "no such file" in text
    assert run("datasets", "template", path)[0] == 1, "an existing file is not overwritten"


def test_anyones_manifest_runs_through_the_protocol(tree, tmp_path):
    root = tree("bah", "distributed")
    data = load_data_set("bah", root)
    lines = [
        "path,subject,label,start,end,split",
        *(f"{i.path},{i.subject},{i.label},{i.start},{i.end},{i.split}" for i in data),
    ]
    (tmp_path / "own.csv").write_text("\n".join(lines))
    code, text = run(
        "protocol",
        tmp_path / "own.csv",
        "--out",
        tmp_path / "run",
        "--backbone",
        "facs-tiny",
        "--epochs",
        1,
        "--methods",
        "clip-au",
        "-q",
    )
    assert code == 0 and "paper" not in text, text


def test_a_store_is_looked_after(tree, tmp_path):
    assert protocol("stressid", tree("stressid", "cropped"), tmp_path)[0] == 0
    store = tmp_path / "features"
    entry = sorted(store.glob("??/*.safetensors"))[0]
    data = bytearray(entry.read_bytes())
    data[-5] ^= 1
    entry.write_bytes(data)
    code, text = run("store", "verify", store, "-q")
    assert code == 1 and entry.stem in text and "1 damaged" in text
    assert run("store", "verify", store, "-q") == (0, "0 damaged entries\n")
    n = len(list(store.glob("??/*.safetensors")))
    assert (
        "call again with --yes" in run("store", "prune", store, "--max-gb", 0)[1]
        and len(list(store.glob("??/*.safetensors"))) == n
    )
    assert run("store", "prune", store, "--max-gb", 0, "--yes")[0] == 0 and not list(store.glob("??/*.safetensors"))


def start(*args) -> subprocess.Popen:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONWARNINGS": "ignore"}
    code = "from clip_autt.cli.main import app; app()"
    hear = lambda: signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # a run in the background ignores Ctrl-C, and so would what it starts
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.Popen(
        command, env=env, cwd=Path(__file__).parents[1], stderr=subprocess.PIPE, text=True, preexec_fn=hear
    )


def until(there, process: subprocess.Popen, seconds: float = 240) -> None:
    "Wait for a file while a process runs."
    end = time.monotonic() + seconds
    while not there():
        assert process.poll() is None and time.monotonic() < end, f"it ended, or nothing came: {process.returncode}"
        time.sleep(0.02)


def test_an_evaluation_that_is_interrupted_leaves_a_valid_result_and_goes_on(tmp_path):
    path, keep = tmp_path / "r.json", tmp_path / "kept"
    methods = "clip-au,clip-autt,tpt,t3al"
    args = (
        "evaluate",
        "--subjects",
        3,
        "--methods",
        methods,
        "--jobs",
        1,
        "-q",
        "--json",
        path,
        "--cache-dir",
        keep,
    )
    p = start(*args)
    until(lambda: len(list(keep.rglob("*.json"))) >= 4, p)
    p.send_signal(signal.SIGINT)
    _, said = p.communicate(timeout=120)
    assert p.returncode == 130 and "stopped" in said and "Traceback" not in said, said
    partial = json.loads(path.read_text())
    assert partial["complete"] is False and 1 <= len(partial["methods"]) <= 4
    finished = {f: f.stat().st_mtime_ns for f in keep.rglob("*.json")}
    code, _ = run(*args)
    assert code == 0 and json.loads(path.read_text()).get("complete", True) and len(list(keep.rglob("*.json"))) == 12
    assert {f: f.stat().st_mtime_ns for f in finished} == finished, "nothing finished was done again"


def test_a_protocol_that_is_killed_goes_on(tree, tmp_path):
    root = tree("bah", "cropped")
    args = (
        "protocol",
        "bah",
        "--root",
        root,
        "--backbone",
        "facs-tiny",
        "--epochs",
        3,
        "--methods",
        "clip-au,personal",
        "-q",
    )
    p = start(*args, "--out", tmp_path / "a")
    until(lambda: (tmp_path / "a/model/training.pt").exists(), p)
    p.kill()
    p.communicate()
    assert run(*args, "--out", tmp_path / "a")[0] == run(*args, "--out", tmp_path / "b")[0] == 0
    a, b = (json.loads((tmp_path / x / "summary.json").read_text())["table_percent"] for x in "ab")
    assert a == b, "killed and continued, or never killed: the same numbers"
