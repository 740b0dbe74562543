"""The released model, rebuilt from the rule in shared/golden/README.md, must give the published classes' numbers.

Another seed's file put beside the first is tested too; CLIP_AUTT_GOLDEN names a file or folder to use instead.
"""

import json
import math
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SHARED
from safetensors.torch import save_file

from clip_autt import AUBank, ClipAU, VideoFeatures, load_backbone
from clip_autt.released import ReleasedClipAUTT

PLACE = Path(os.environ.get("CLIP_AUTT_GOLDEN", SHARED / "golden"))
FILES = sorted(PLACE.glob("*.json")) if PLACE.is_dir() else [PLACE] if PLACE.is_file() else []
if not FILES:
    pytest.skip(f"no golden numbers: {PLACE.name} is absent; set CLIP_AUTT_GOLDEN to a file", allow_module_level=True)

CONFIG = dict(
    embed_dim=64,
    quick_gelu=True,
    vision_cfg=dict(image_size=32, patch_size=8, layers=2, width=64, head_width=64),
    text_cfg=dict(context_length=77, vocab_size=49408, width=64, heads=1, layers=2),
)


def draw(seed: int, name: str, *shapes: tuple) -> list[np.ndarray]:
    rng = np.random.Generator(np.random.PCG64(seed * 1_000_003 + zlib.crc32(name.encode())))
    return [rng.standard_normal(s).astype("float32") for s in shapes]


def weight(seed: int, name: str, shape: tuple) -> torch.Tensor:
    "A parameter by the rule: the first line of the list that matches its name."
    (z,) = draw(seed, name, shape)
    if name.endswith("logit_scale"):
        return torch.tensor(math.log(1 / 0.07))
    if ".ln_" in name or name.startswith("ln_"):
        return torch.tensor(1 + 0.1 * z if name.endswith("weight") else 0.01 * z)
    if name.endswith("bias"):
        return torch.tensor(0.01 * z)
    if "embedding" in name or name.endswith(".ctx"):
        return torch.tensor(0.02 * z)
    fan_in = shape[0] if name.endswith(("proj", "text_projection")) else math.prod(shape[1:])
    return torch.tensor(z / np.float32(math.sqrt(fan_in)))


@pytest.fixture(scope="module", params=FILES, ids=lambda f: f.stem)
def golden(request, tmp_path_factory):
    "The numbers, the model loaded through the public path, and the frame embeddings."
    numbers = json.loads(request.param.read_text())
    seed, d = numbers["seed"], tmp_path_factory.mktemp("golden")
    blank = load_backbone("golden", config=CONFIG).model.state_dict()
    save_file({k: weight(seed, k, tuple(v.shape)) for k, v in blank.items()}, d / "clip.safetensors")
    shapes = {
        "text_adapter": {"0.weight": (512, 64), "0.bias": (512,), "2.weight": (64, 512), "2.bias": (64,)},
        "temporal": {"weight": (64, 64, 3), "bias": (64,)},
        "temporal_classifier": {"0.weight": (256, 46), "0.bias": (256,), "2.weight": (2, 256), "2.bias": (2,)},
    }
    torch.save(
        {part: {k: weight(seed, f"{part}.{k}", s) for k, s in names.items()} for part, names in shapes.items()},
        d / "head.pth",
    )
    model = ClipAU.load_released(d / "head.pth", load_backbone("golden", d / "clip.safetensors", config=CONFIG))
    base, drift = draw(seed, "video", (3, 1, 3, 32, 32), (3, 24, 3, 32, 32))
    pixels = torch.tensor(base + np.float32(0.25) * np.cumsum(drift, axis=1))
    return numbers, model, model.backbone.encode_frames(pixels.flatten(0, 1)).view(3, 24, 64)


def close(ours: torch.Tensor, theirs: list) -> None:
    torch.testing.assert_close(ours, torch.tensor(theirs), atol=1e-4, rtol=0)


def test_prompts_are_the_published_rows(golden):
    assert list(AUBank.released().prompts) == golden[0]["prompts"]


def test_source_model(golden):
    numbers, model, features = golden
    with torch.no_grad():
        out = model(features)
    close(out.logits, numbers["source"]["logits"])
    close(out.au, numbers["source"]["au_sim"])


def test_adaptation_step_by_step(golden):
    numbers, model, features = golden
    goal = numbers["adapt"]
    method = ReleasedClipAUTT(
        model, window=goal["window"], steps=len(goal["steps"]), lr=goal["lr"], weight_decay=goal["weight_decay"]
    )
    method.state = {**method.state, "ctx": weight(numbers["seed"], "au_prompt_learner.ctx", (46, 4, 64))}
    videos = [VideoFeatures(f, torch.arange(24) / 12.5, torch.ones(24, dtype=torch.bool)) for f in features]
    for step, want in zip(method.tune(videos), goal["steps"], strict=True):
        assert step.start.tolist() == want["window_start"]
        close(step.logits, want["logits"])
        close(step.au[0], want["au_sim_first_video"])
        assert float(step.loss.mean()) == pytest.approx(want["entropy"], abs=1e-4)
        assert step.grad_norm == pytest.approx(want["grad_norm"], abs=1e-4)
    assert float(method.ctx.norm()) == pytest.approx(goal["ctx_norm_after"], abs=1e-4)
    close(method.ctx[0, 0, : len(goal["ctx_au0_token0_after"])], goal["ctx_au0_token0_after"])


def test_adapt_reports_the_last_prediction_before_its_update(golden):
    numbers, model, features = golden
    goal = numbers["adapt"]
    method = ReleasedClipAUTT(model, window=goal["window"], steps=len(goal["steps"]), lr=goal["lr"])
    method.state = {**method.state, "ctx": weight(numbers["seed"], "au_prompt_learner.ctx", (46, 4, 64))}
    results = method.adapt_many(
        [VideoFeatures(f, torch.arange(24) / 12.5, torch.ones(24, dtype=torch.bool)) for f in features]
    )
    close(torch.stack([r.logits for r in results]), goal["steps"][-1]["logits"])
    close(torch.stack([r.logits_before for r in results]), goal["steps"][0]["logits"])
