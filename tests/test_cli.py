"""The command line as a program meets it: JSON, exit codes, errors in one line, a batch that goes on."""

import json
import subprocess
import sys

import pytest
import torch
from conftest import SHARED, save_published_head
from typer.testing import CliRunner

from clip_autt import AUBank, ClipAU, load_backbone
from clip_autt.cli import app

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
    assert set(r["window"]) == {"start", "stop", "start_s", "stop_s"} and r["window"]["stop"] - r["window"]["start"] == 8
    assert len(r["aus"]) == 46 and set(r["aus"][0]) == {"au", "name", "score", "delta"} and any(a["delta"] for a in r["aus"])
    assert r["n_faces"] == r["n_frames"] == 25


def test_predict_has_no_before(tiny_cli_model, portrait_mp4):
    (r,) = json.loads(call("predict", portrait_mp4, *tiny_cli_model, "--json", "-").stdout)
    assert set(r) == KEYS and r["probs_before"] is None and r["window"]["stop"] == r["n_frames"] and all(a["delta"] == 0 for a in r["aus"])


def test_a_batch_goes_on(tiny_cli_model, portrait_mp4, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    result = call("personalize", tmp_path / "bad.mp4", tmp_path / "gone.mp4", portrait_mp4, *tiny_cli_model, "--json", tmp_path / "o.json", code=1)
    records = json.loads((tmp_path / "o.json").read_text())
    assert [r["error"] and r["error"]["type"] for r in records] == ["VideoError", "VideoError", None]
    assert "error: " in result.stderr and "Traceback" not in result.output


def test_an_interrupted_batch_keeps_what_is_finished(tmp_path):
    from clip_autt.cli import run

    def work(path):
        if path == "third":
            raise KeyboardInterrupt
        return ClipAU(load_backbone("tiny")).predict(torch.randn(20, 64), untrained_ok=True)

    with pytest.raises(KeyboardInterrupt):
        run(["first", "second", "third"], work, str(tmp_path / "o.json"), quiet=True)
    assert [r["path"] for r in json.loads((tmp_path / "o.json").read_text())] == ["first", "second"]


def test_profiles_are_saved_and_used(tiny_cli_model, portrait_mp4, tmp_path):
    call("personalize", portrait_mp4, *tiny_cli_model, "--save-profile", tmp_path / "p.safetensors", "--lr", 0.01, "-q")
    (r,) = json.loads(call("personalize", portrait_mp4, *tiny_cli_model, "--profile", tmp_path / "p.safetensors", "--steps", 0, "--json", "-").stdout)
    (plain,) = json.loads(call("personalize", portrait_mp4, *tiny_cli_model, "--steps", 0, "--json", "-").stdout)
    assert r["probs"] == r["probs_before"] != plain["probs"]


@pytest.mark.parametrize(
    "options, message",
    [
        ([], "give one model"),
        (["--head", "nowhere.pth", "--backbone", "tiny"], "no such file"),
        (["--head", "nowhere.pth", "--backbone", "ViT-B-99"], "no such file"),
        (["--model", "nowhere"], "no such folder"),
    ],
)
def test_model_errors_are_one_line(portrait_mp4, options, message):
    result = call("predict", portrait_mp4, *options, code=1)
    assert message in result.stderr and result.stderr.startswith("error: ") and "Traceback" not in result.output


@pytest.mark.parametrize("options", [["--window", 0], ["--lr", -1], ["--variant", "mine"], ["--reset", "daily"], ["--ctx-position", "middle"]])
def test_bad_options(tiny_cli_model, portrait_mp4, options):
    assert "must be" in call("personalize", portrait_mp4, *tiny_cli_model, *options, code=1).stderr


def test_doctor_and_demo(tmp_path):
    assert "BAD" not in call("doctor").stdout
    out = call("demo", "--out", tmp_path / "demo").stdout
    assert (tmp_path / "demo/portrait.mp4").is_file() and "random weights" in out
    assert json.loads((tmp_path / "demo/result.json").read_text())[0]["n_faces"] == 38


def test_help_needs_no_torch():
    code = "import sys; from clip_autt.cli import app; assert 'torch' not in sys.modules and 'open_clip' not in sys.modules"
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
    call("personalize", *paths, "--backbone", "ViT-B-32", "--pretrained", tmp_path / "ViT-B-32.pt", "--head", tmp_path / "head.pth",
         "--fps", 4, "--json", tmp_path / "o.json")  # fmt: skip
    records = {r["path"].split("/")[-1]: r for r in json.loads((tmp_path / "o.json").read_text())}
    assert len(records) == 4 and all(set(r) == KEYS and r["error"] is None for r in records.values())
    assert records["no_face.mp4"]["label"] is None and records["no_face.mp4"]["warnings"] and records["no_face.mp4"]["probs"] == {}
    r = records["face_noface.mov"]
    assert 0 < r["n_faces"] < r["n_frames"] and f"{r['n_faces']} of {r['n_frames']}" in " ".join(r["warnings"])
    for name in ("single_face.mp4", "WolfgangLanger_Pexels.mp4"):
        assert records[name]["label"] in ("neutral", "positive") and records[name]["window"]["stop_s"] > records[name]["window"]["start_s"]
