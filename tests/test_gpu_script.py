"""The GPU script runs to its end on a CPU, and its parity check finds what is wrong."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

from clip_autt import ClipAU, load_backbone


@pytest.fixture(scope="module")
def gpu():
    spec = importlib.util.spec_from_file_location("gpu_script", Path(__file__).parent / "bench/gpu.py")
    module = sys.modules["gpu_script"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_table(gpu, tmp_path, capsys):
    assert gpu.main(["--device", "cpu", "--small", "--json", str(tmp_path / "f.json")]) == 0
    page, figures = capsys.readouterr().out, json.loads((tmp_path / "f.json").read_text())
    assert (
        page.startswith("CPU, ")
        and f"torch {torch.__version__.split('+')[0]}" in page
        and "the paper's figure 26.4" in page
    )
    assert {c["precision"] for c in figures["parity"]} == {"float32", "bfloat16", "float16"} and all(
        c["ok"] for c in figures["parity"]
    )
    done = {(r["method"], r["source"], r["precision"], r["steps"], r["batch"]) for r in figures["rows"]}
    assert len(done) == len(figures["rows"]) == 2 * 2 * 5 and all(
        r["videos_per_s"] > 0 and r["peak_mb"] > 0 for r in figures["rows"]
    )
    assert all(
        f"| {method} | {source} | {precision} | {k} | {batch} |" in page for method, source, precision, k, batch in done
    )


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
