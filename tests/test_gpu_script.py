"""The GPU script runs to its end on a CPU, its parity checks find what is wrong, and no part leaves a tensor behind."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest
import torch
from pretend_device import pretend_device

from clip_autt import ClipAU, load_backbone
from clip_autt.video.detector import STRIDES, decode, load_face_net

PARTS = ["renderer", "detector", "encoder", "prediction", "adaptation", "personal"]


@pytest.fixture(scope="module")
def gpu():
    spec = importlib.util.spec_from_file_location("gpu_script", Path(__file__).parent / "bench/gpu.py")
    module = sys.modules["gpu_script"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_table(gpu, tmp_path, capsys):
    assert gpu.main(["--device", "cpu", "--small", "--json", str(tmp_path / "f.json")]) == 0
    page, figures = capsys.readouterr().out, json.loads((tmp_path / "f.json").read_text())
    facts, rows, checks = figures["facts"], figures["rows"], figures["parity"]
    assert re.match(r"\*Measured on \d{4}-\d\d-\d\d by .*: CPU, .*driver none, CUDA none, ", page)
    assert f"torch {torch.__version__.split('+')[0]}" in page and "the paper's figure 26.4" in page
    assert {"date", "device", "driver", "cuda", "torch", "python", "cores"} <= {*facts}
    assert list(dict.fromkeys(r["part"] for r in rows)) == PARTS
    assert {c["part"] for c in checks} == {*PARTS} - {"prediction"}, "logits before a step are the prediction's"
    assert {c["precision"] for c in checks} == {"float32", "bfloat16", "float16"} and all(c["ok"] for c in checks)
    assert all(r["per_s"] > 0 and r["peak_mb"] > 0 for r in rows)
    names = ["part", "what", "where", "precision", "steps", "batch"]
    done = {tuple(r[k] for k in names) for r in rows}
    assert len(done) == len(rows) and all(f"| {' | '.join(map(str, row))} |" in page for row in done)


def failed(gpu, reference, model):
    return {c.what for c in gpu.parity(reference, model, ["float32"], 4) if not c.ok}


def test_a_device_that_is_slightly_wrong_is_found(gpu, tiny):
    reference, model = ClipAU(tiny), ClipAU(load_backbone("tiny"))
    assert failed(gpu, reference, model) == set()
    with torch.no_grad():
        model.classifier[2].bias[0] += 0.1
    assert "before" in failed(gpu, reference, model)
    with torch.no_grad():
        model.backbone.tower.blocks[0].mlp[0].weight *= 1.01
    assert {"text", "gradient"} <= failed(gpu, reference, model) and "frames" not in failed(gpu, reference, model)
    with torch.no_grad():
        model.backbone.model.visual.proj *= float("nan")
    assert "frames" in failed(gpu, reference, model)


def all_checks(gpu, device):
    "Every part in float32, on a device and on the CPU."
    reference, model = ClipAU(load_backbone("tiny")), ClipAU(load_backbone("tiny", device=device))
    return [
        *gpu.renderer_parity(device, 2, 48),
        *gpu.detector_parity(device, 2),
        *gpu.parity(reference, model, ["float32"], 2),
        *gpu.personal_parity(reference, model, 2),
    ]


def test_no_part_leaves_a_tensor_behind(gpu):
    "On a device that refuses to mix, every part runs and gives the CPU's numbers."
    with pretend_device() as device:
        checks = all_checks(gpu, device)
    assert all(c.ok for c in checks), [c for c in checks if not c.ok]
    assert {c.part for c in checks} == {*PARTS} - {"prediction"}


def test_everything_that_is_timed_runs_on_a_device(gpu):
    with pretend_device() as device:
        model = ClipAU(load_backbone("tiny", device=device))
        rows = gpu.measure(model, ["float32"], [2], [1], rounds=1, size=48, film=(96, 128))
    assert [*dict.fromkeys(r.part for r in rows)] == PARTS
    assert {r.what for r in rows if r.where == "cpu"} == {"whole pictures"}


def test_the_pretended_device_refuses_what_a_gpu_refuses():
    with pretend_device() as device:
        x = torch.ones(3, device=device)
        assert x.device.type == device and (x + 1).sum().item() == 6
        with pytest.raises(RuntimeError, match="two devices"):
            x + torch.ones(3)
        level = load_face_net(device)(torch.zeros(1, 3, 64, 64, device=device))[0][0]
        with pytest.raises(RuntimeError, match="two devices"):
            decode(level, STRIDES[0])
        assert decode(level.cpu(), STRIDES[0]).shape == (64, 15)


@pytest.mark.parametrize(
    "parts, fault",
    [
        ("renderer", dict(scatter_reduce_=lambda x: x.fill_(-1 << 62))),
        ("renderer", dict(index_add_=lambda x: x.mul_(-1))),
        ("detector encoder", dict(convolution=lambda x: x * 1.01)),
        ("encoder adaptation personal", dict(native_layer_norm=lambda x: (x[0] * 1.01, *x[1:]))),
        ("adaptation", dict(native_layer_norm_backward=lambda x: (x[0] * 1.01, *x[1:]))),
        ("personal", dict(median=lambda x: (x[0] * 1.01, x[1]))),
    ],
)
def test_a_fault_is_found_where_it_matters_and_nowhere_else(gpu, parts, fault):
    with pretend_device(**fault) as device:
        checks = all_checks(gpu, device)
    assert {c.part for c in checks if not c.ok} == {*parts.split()}


def test_a_failed_check_is_exit_1(gpu, monkeypatch, capsys):
    right = gpu.best_faces
    monkeypatch.setattr(gpu, "best_faces", lambda faces, *where: [x + 0.1 * len(where) for x in right(faces)])
    rows = [gpu.Row("adaptation", source, "cpu", "float32", 1, 1, 1.0, "videos", 1) for source in gpu.AIMS]
    monkeypatch.setattr(gpu, "measure", lambda *a, **k: rows)
    assert gpu.main(["--device", "cpu", "--small"]) == 1
    assert re.search(r"\| detector \| scores \| float32 \| 1.0e-01 \| 1e-04 \| TOO LARGE \|", capsys.readouterr().out)


def test_half_precision_is_really_compared(gpu, tiny):
    model = ClipAU(tiny)
    checks = gpu.parity(model, model, ["float32", "bfloat16"], 4)
    errors = {(c.precision, c.what): c.error for c in checks}
    assert all(errors["float32", what] < 1e-6 for what in ("frames", "text", "gradient", "before"))
    assert all(1e-4 < errors["bfloat16", what] for what in ("frames", "text", "gradient"))


def test_no_gpu_is_one_clear_line(gpu, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        gpu.main(["--device", "cuda"])
    assert "sees no GPU" in capsys.readouterr().err


def test_only_a_whole_measurement_on_a_gpu_is_kept(gpu, capsys):
    with pytest.raises(SystemExit):
        gpu.main(["--device", "cpu", "--keep"])
    assert "on a GPU; leave out" in capsys.readouterr().err


def test_the_page_says_what_the_script_wrote(gpu):
    said = gpu.KEPT.read_text(encoding="utf-8")
    assert "No GPU was at hand" in said or said.startswith("*Measured on "), "a table by --keep, or that there is none"
