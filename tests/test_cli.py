"""The command line as a program meets it: JSON, exit codes, errors in one line, a batch that goes on."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import SHARED, save_published_head
from typer.testing import CliRunner

from clip_autt import AUBank, ClipAU, load_backbone, make_clips, write_video
from clip_autt.cli.options import shows_bars
from clip_autt.cli.main import app

VIDEOS = SHARED / "data/video"
KEYS = {"path", "label", "probs", "probs_before", "window", "n_frames", "n_faces", "aus", "warnings", "error"}


def call(*args, code=0):
    result = CliRunner().invoke(app, list(map(str, args)))
    assert result.exit_code == code, result.output
    return result


def test_personalize_writes_the_record(tiny_cli_model, portrait_mp4, tmp_path):
    call("personalize", portrait_mp4, *tiny_cli_model, "--json", tmp_path / "o.json", "--window", 8)
    (r,) = json.loads((tmp_path / "o.json").read_text())
    assert set(r) == KEYS and r["error"] is None and r["label"] in r["probs"]
    assert sum(r["probs"].values()) == pytest.approx(1) == sum(r["probs_before"].values())
    assert (
        set(r["window"]) == {"start", "stop", "start_s", "stop_s"} and r["window"]["stop"] - r["window"]["start"] == 8
    )
    assert (
        len(r["aus"]) == 46
        and set(r["aus"][0]) == {"au", "name", "score", "delta"}
        and any(a["delta"] for a in r["aus"])
    )
    assert r["n_faces"] == r["n_frames"] == 25


def test_predict_has_no_before(tiny_cli_model, portrait_mp4):
    (r,) = json.loads(call("predict", portrait_mp4, *tiny_cli_model, "--json", "-").stdout)
    assert (
        set(r) == KEYS
        and r["probs_before"] is None
        and r["window"]["stop"] == r["n_frames"]
        and all(a["delta"] == 0 for a in r["aus"])
    )


def test_a_batch_goes_on(tiny_cli_model, portrait_mp4, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    result = call(
        "personalize",
        tmp_path / "bad.mp4",
        tmp_path / "gone.mp4",
        portrait_mp4,
        *tiny_cli_model,
        "--json",
        tmp_path / "o.json",
        code=1,
    )
    records = json.loads((tmp_path / "o.json").read_text())
    assert [r["error"] and r["error"]["type"] for r in records] == ["VideoError", "VideoError", None]
    assert "error: " in result.stderr and "Traceback" not in result.output


def test_an_interrupted_batch_keeps_what_is_finished(tmp_path):
    from clip_autt.cli.records import run_batch

    def work(path):
        if path == "third":
            raise KeyboardInterrupt
        return ClipAU(load_backbone("tiny")).predict(torch.randn(20, 64), untrained_ok=True)

    with pytest.raises(KeyboardInterrupt):
        run_batch(["first", "second", "third"], work, str(tmp_path / "o.json"), quiet=True)
    assert [r["path"] for r in json.loads((tmp_path / "o.json").read_text())] == ["first", "second"]


def test_profiles_are_saved_and_used(tiny_cli_model, portrait_mp4, tmp_path):
    still = "--set", "clip-autt.steps=0"
    call(
        "personalize",
        portrait_mp4,
        *tiny_cli_model,
        "--save-profile",
        tmp_path / "p.safetensors",
        "--set",
        "clip-autt.lr=0.01",
        "-q",
    )
    (r,) = json.loads(
        call(
            "personalize", portrait_mp4, *tiny_cli_model, "--profile", tmp_path / "p.safetensors", *still, "--json", "-"
        ).stdout
    )
    (plain,) = json.loads(call("personalize", portrait_mp4, *tiny_cli_model, *still, "--json", "-").stdout)
    assert r["probs"] == r["probs_before"] != plain["probs"]


@pytest.mark.parametrize(
    "options, message",
    [
        (["--model", "a", "--head", "b"], "give one model"),
        (["--model", "facs-tiny/stres"], "Did you mean 'facs-tiny/stress'"),
        (["--head", "nowhere.pth", "--backbone", "tiny"], "no such file"),
        (["--head", "nowhere.pth", "--backbone", "ViT-B-99"], "no such file"),
        (["--model", "nowhere"], "no such folder"),
    ],
)
def test_model_errors_are_one_line(portrait_mp4, options, message):
    result = call("predict", portrait_mp4, *options, code=1)
    assert message in result.stderr and result.stderr.startswith("error: ") and "Traceback" not in result.output


@pytest.mark.parametrize(
    "options, message",
    [
        (["--window", 0], "window must be"),
        (["--reset", "daily"], "reset must be"),
        (["--method", "clip-aut"], "Did you mean 'clip-autt'"),
        (["--set", "clip-autt.lr=-1"], "lr must be"),
        (["--set", "clip-autt.ctx_position=middle"], "must be"),
        (["--set", "clip-autt.stesp=1"], "Did you mean 'steps'"),
        (["--set", "clip-atut.steps=1"], "Did you mean 'clip-autt'"),
        (["--set", "clip-autt.steps=some"], "a value of type int"),
        (["--set", "steps"], "tent.lr=1e-3"),
        (["--method", "clip-au", "--save-profile", "p.safetensors"], "no profiles"),
    ],
)
def test_bad_options_are_one_line(tiny_cli_model, portrait_mp4, options, message):
    said = call("personalize", portrait_mp4, *tiny_cli_model, *options, code=1).stderr.strip()
    assert message in said and said.startswith("error: ") and said.count("\n") == 0


def test_set_changes_a_method(tmp_path):
    for name, options in (("plain", []), ("set", ["--set", "clip-autt.steps=4", "--set", "clip-autt.lr=0.05"])):
        call(
            "evaluate",
            "--subjects",
            1,
            "--jobs",
            1,
            "--methods",
            "clip-autt",
            *options,
            "--json",
            tmp_path / f"{name}.json",
            "-q",
        )
    plain, changed = (json.loads((tmp_path / f"{name}.json").read_text())["protocol"] for name in ("plain", "set"))
    assert (changed["methods"]["clip-autt"]["steps"], changed["methods"]["clip-autt"]["lr"]) == (4, 0.05)
    assert (plain["cost"]["clip-autt"]["backward"], changed["cost"]["clip-autt"]["backward"]) == (1, 4)


def test_doctor():
    assert "BAD" not in call("doctor").stdout


@pytest.fixture(scope="session")
def rendered(tmp_path_factory):
    "A folder of rendered videos with a manifest."
    d = tmp_path_factory.mktemp("rendered")
    rows = ["path,subject,label"]
    for clip in make_clips("pain", range(23_000, 23_004), n=4):
        write_video(clip.replace(frames=clip.frames.repeat(2, 1).repeat(2, 2)), d / f"{clip.id}.mp4")
        rows.append(f"{clip.id}.mp4,{clip.subject},{clip.label}")
    (d / "clips.csv").write_text("\n".join(rows))
    return d


def test_the_bundled_model_is_the_default_and_says_what_it_is(rendered):
    for command in ("predict", "personalize"):
        (r,) = json.loads(call(command, next(rendered.glob("*.mp4")), "--crop", "none", "--json", "-").stdout)
        assert set(r) == KEYS and r["label"] in ("neutral", "pain") and len(r["aus"]) == 47
        assert any("rendered faces" in w for w in r["warnings"])
    assert "rendered faces" in call("predict", next(rendered.glob("*.mp4")), "--crop", "none").stdout


@pytest.mark.parametrize(
    "options, names",
    [
        ([], {"the personal head", "not from AUs"}),
        (["--method", "personal-threshold"], {"the personal head", "the person's threshold"}),
        (["--method", "clip-autt"], {"not from AUs"}),
        (["--method", "clip-autt-released"], {"not from AUs"}),
    ],
)
def test_explanations_are_in_the_record_if_asked_for_and_sum_up(rendered, tmp_path, options, names):
    paths = [*sorted(rendered.glob("*.mp4"))[:2], tmp_path / "gone.mp4"]
    out = call("personalize", *paths, *options, "--explain", "--json", tmp_path / "o.json", code=1).stdout
    records = json.loads((tmp_path / "o.json").read_text())
    assert all(set(r) == KEYS | {"explanation"} for r in records) and records[-1]["explanation"] is None
    for r in records[:2]:
        assert set(r["explanation"]) == {"why", "change"} and len(r["explanation"]["why"]["aus"]) == 47
        for e in r["explanation"].values():
            assert sum(a["contribution"] for a in e["aus"]) + sum(e["not_from_aus"].values()) == pytest.approx(
                e["margin"] - e["margin_start"], abs=1e-9
            )
            assert set(e["not_from_aus"]) == names and e["target"] == r["label"] and e["margin"] > 0
            assert math.log(r["probs"][e["target"]] / r["probs"][e["versus"]]) == pytest.approx(e["margin"], abs=1e-3)
        before = r["explanation"]["change"]
        assert math.log(r["probs_before"][before["target"]] / r["probs_before"][before["versus"]]) == pytest.approx(
            before["margin_start"], abs=1e-2
        )
    printed = re.findall(r"margin (\S+) at .*, (\S+) here, by\n(.*)", out)
    assert len(printed) == 4, "two for each video"
    for start, stop, parts in printed:
        assert parts.count(",") >= 5 and sum(map(float, re.findall(r"[+-]\d+\.\d+", parts))) == pytest.approx(
            float(stop) - float(start), abs=0.006
        )


def test_a_rendered_clip_needs_no_crop_option(rendered):
    "The file says that its frames are faces, so the same answer comes with and without `--crop none`."
    path = sorted(rendered.glob("*.mp4"))[0]
    (auto,), (none,) = (
        json.loads(call("predict", path, *options, "--json", "-").stdout) for options in ([], ["--crop", "none"])
    )
    assert auto["label"] and auto["n_faces"] == auto["n_frames"] and auto["probs"] == none["probs"]


def test_train_on_a_folder_of_clips_and_use_the_head(rendered, tmp_path):
    manifest = rendered / "clips.csv"
    options = ["--out", tmp_path / "head", "--crop", "none", "--epochs", 3, "--validation", 0.25]
    out = call("train", manifest, *options).stdout
    assert "History of 3 epochs" in out and (tmp_path / "head/config.json").is_file()
    before = (tmp_path / "head/head.safetensors").read_bytes()
    call("train", manifest, *options, "-q")  # nothing is left to do
    assert (tmp_path / "head/head.safetensors").read_bytes() == before
    (r,) = json.loads(
        call(
            "predict", next(rendered.glob("*.mp4")), "--model", tmp_path / "head", "--crop", "none", "--json", "-"
        ).stdout
    )
    assert r["error"] is None and r["label"] in ("neutral", "pain")


def test_a_missing_clip_is_skipped_and_said_or_an_error_if_strict(rendered, tmp_path):
    text = (rendered / "clips.csv").read_text() + "\ngone.mp4,s1,pain\n"
    (tmp_path / "clips.csv").write_text(text)
    options = [tmp_path / "clips.csv", "--root", rendered, "--out", tmp_path / "head", "--crop", "none", "--epochs", 1]
    assert "gone.mp4: no such file" in call("train", *options).stderr
    assert "1 of 17 clips do not exist" in call("train", *options, "--strict", code=1).stderr


@pytest.mark.parametrize(
    "rows, message",
    [
        ("", "no rows"),
        ("a.mp4,s1,pain\n", "none of the 1 clips exists"),
        ("{0},s1,pain\n{1},s2,pain\n", "class"),
        ("{0},s1,pain\n{1},s1,neutral\n", "1 subject"),
    ],
)
def test_bad_manifests_are_one_clear_error(rendered, tmp_path, rows, message):
    files = [p.name for p in sorted(rendered.glob("*.mp4"))[:2]]
    (tmp_path / "clips.csv").write_text("path,subject,label\n" + rows.format(*files))
    result = call(
        "train", tmp_path / "clips.csv", "--root", rendered, "--out", tmp_path / "head", "--crop", "none", "-q", code=1
    )
    assert message in result.stderr and result.stderr.count("error: ") == 1 and "Traceback" not in result.output


def test_train_on_an_embedded_task(tmp_path, monkeypatch):
    monkeypatch.setattr("clip_autt.faces.videos.SOURCE_SUBJECTS", range(20_000, 20_002))
    monkeypatch.setattr("clip_autt.faces.videos.VALIDATION_SUBJECTS", range(21_000, 21_001))
    call("train", "--task", "pain", "--out", tmp_path / "head", "--epochs", 2, "-q")
    out = call("evaluate", "--model", tmp_path / "head", "--subjects", 1, "--jobs", 1, "--methods", "clip-au").stdout
    assert "rendered faces" in out and "clip-au" in out
    assert "it has no" not in out
    result = call("evaluate", "--task", "stress", "--model", tmp_path / "head", "--jobs", 1, code=1)
    assert "neutral, pain" in result.stderr


@pytest.mark.parametrize(
    "args, message",
    [
        (["train"], "either a manifest or --task"),
        (["train", "--task", "pain"], "--out DIR"),
        (["train", "--task", "pian", "--out", "x"], "Did you mean 'pain'"),
        (["train", "nowhere.csv", "--out", "x"], "nowhere.csv"),
        (["evaluate", "--task", "pian"], "Did you mean 'pain'"),
        (["evaluate", "--methods", "clip-autt-x"], "Did you mean 'clip-autt'"),
        (["evaluate", "--methods", ","], "no methods"),
        (["evaluate", "--seed", -1], "seed=-1"),
        (["demo", "--task", "joy"], "Tasks: pain, stress, ambivalence"),
    ],
)
def test_wrong_words_are_one_line(args, message):
    result = call(*args, code=1)
    assert message in result.stderr and result.stderr.startswith("error: ") and "Traceback" not in result.output


def test_evaluate_writes_the_contract(tmp_path, monkeypatch):
    import clip_autt.evaluation.embedded as embedded

    real = embedded.kept_target_videos
    monkeypatch.setattr(embedded, "kept_target_videos", lambda *a, **k: real(*a, **{**k, "n": 12}))
    call(
        "evaluate",
        "--task",
        "ambivalence",
        "--subjects",
        2,
        "--oracle",
        "--json",
        tmp_path / "o.json",
        "--csv",
        tmp_path / "o.csv",
        "-q",
    )
    r = json.loads((tmp_path / "o.json").read_text())
    assert r["format_version"] == 2 and set(r) == {
        "format_version",
        "backbone",
        "task",
        "seed",
        "n_subjects",
        "n_videos",
        "protocol",
        "methods",
        "versions",
        "caveats",
    }
    assert r["caveats"] and all("rendered faces" in x for x in r["caveats"])
    assert (r["backbone"], r["task"], r["seed"], r["n_subjects"], r["n_videos"]) == (
        "facs-tiny",
        "ambivalence",
        0,
        2,
        24,
    )
    assert set(r["methods"]) == {"clip-au", "clip-autt", "personal", "oracle"}
    for row in r["methods"].values():
        assert set(row) == {"war", "uar", "f1", "war_sd", "seconds_per_video", "per_subject"} and set(
            row["per_subject"]
        ) == {"s0", "s1"}
    assert len((tmp_path / "o.csv").read_text().splitlines()) == 1 + 4 * 24


def test_demo_personalizes_and_writes_a_report(tmp_path):
    done = call("demo", "--subjects", 3, "--out", tmp_path / "demo", "--json", tmp_path / "demo.json")
    out = done.stdout
    assert done.stderr == "", "a bar or a warning in a pipe"
    page = (tmp_path / "demo/report.html").read_text()
    assert "rendered" in page and len(page) < 1_500_000 and "oracle" in page and "clip-autt" in out
    r = json.loads((tmp_path / "demo.json").read_text())
    assert {"clip-au", "clip-autt", "personal"} <= set(r["methods"]) and r["n_subjects"] == 3
    assert (tmp_path / "demo/report.png").stat().st_size < 300_000


def test_bars_are_for_terminals(monkeypatch):
    for terminal, quiet in ((True, False), (True, True), (False, False)):
        monkeypatch.setattr(sys, "stderr", type("Stream", (), {"isatty": lambda self, t=terminal: t})())
        assert shows_bars(quiet) == (terminal and not quiet)


def test_the_command_is_installed():
    command = Path(sys.executable).parent / "clip-autt"
    done = subprocess.run([command, "--help"], capture_output=True, text=True, env={**os.environ, "COLUMNS": "100"})
    assert done.returncode == 0 and "personalize" in done.stdout, done.stderr


def test_help_needs_no_torch():
    code = (
        "import sys; from clip_autt.cli.main import app; "
        "assert 'torch' not in sys.modules and 'open_clip' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(not VIDEOS.is_dir(), reason="the real videos of ../shared are absent")
def test_real_videos_with_vit_b_32(tmp_path):
    "The main job: a ViT-B-32 checkpoint in OpenAI's layout, a head in the published format, four real videos."
    backbone = load_backbone("ViT-B-32-quickgelu")
    state = {k: v.half() if v.is_floating_point() else v for k, v in backbone.model.state_dict().items()}
    extras = dict(input_resolution=torch.tensor(224), context_length=torch.tensor(77), vocab_size=torch.tensor(49408))
    torch.save({**state, **extras}, tmp_path / "ViT-B-32.pt")
    save_published_head(tmp_path / "head.pth", ClipAU(backbone, bank=AUBank.released(), template="{}"))
    paths = sorted(VIDEOS.iterdir())
    call("personalize", *paths, "--backbone", "ViT-B-32", "--pretrained", tmp_path / "ViT-B-32.pt",
         "--head", tmp_path / "head.pth", "--fps", 4, "--json", tmp_path / "o.json")  # fmt: skip
    records = {r["path"].split("/")[-1]: r for r in json.loads((tmp_path / "o.json").read_text())}
    assert len(records) == 4 and all(set(r) == KEYS and r["error"] is None for r in records.values())
    assert (
        records["no_face.mp4"]["label"] is None
        and records["no_face.mp4"]["warnings"]
        and records["no_face.mp4"]["probs"] == {}
    )
    r = records["face_noface.mov"]
    assert 0 < r["n_faces"] < r["n_frames"] and f"{r['n_faces']} of {r['n_frames']}" in " ".join(r["warnings"])
    for name in ("single_face.mp4", "WolfgangLanger_Pexels.mp4"):
        assert (
            records[name]["label"] in ("neutral", "positive")
            and records[name]["window"]["stop_s"] > records[name]["window"]["start_s"]
        )
