"""ClipAU: saving, loading, refusing."""

import copy
import json

import pytest
import torch
from conftest import make_features, save_published_head
from safetensors.torch import load_file, save_file

from clip_autt import (
    AUBank,
    BackboneError,
    CheckpointError,
    ClipAU,
    InputError,
    UntrainedError,
    VideoFeatures,
    load_backbone,
)


@pytest.fixture
def saved(tmp_path, tiny):
    model = ClipAU(
        tiny,
        bank=AUBank.default().subset(regions=["brow", "eyes"]),
        classes=("calm", "stressed", "other"),
        logit_scale=3.0,
        activation="glu",
    )
    model.trained = True
    model.save_pretrained(tmp_path / "m")
    return model, tmp_path / "m"


def edit(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({k: v for k, v in {**config, **changes}.items() if v is not ...}))


def test_round_trip_is_bit_exact(saved):
    model, folder = saved
    again, x = ClipAU.from_pretrained(folder), make_features(0).frames[None]
    assert torch.equal(again(x).logits, model(x).logits)
    assert (again.classes, again.bank, again.logit_scale, again.trained) == (model.classes, model.bank, 3.0, True)


def test_no_path_of_this_machine_is_saved(tmp_path, tiny):
    save_file(tiny.model.state_dict(), tmp_path / "weights.safetensors")
    ClipAU(load_backbone("tiny", tmp_path / "weights.safetensors")).save_pretrained(tmp_path / "m")
    assert str(tmp_path) not in (tmp_path / "m/config.json").read_text()
    with pytest.raises(BackboneError, match=r"weights\.safetensors"):
        ClipAU.from_pretrained(tmp_path / "m")
    assert (
        ClipAU.from_pretrained(tmp_path / "m", pretrained=tmp_path / "weights.safetensors").backbone.hash == tiny.hash
    )


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda d: edit(d, classes=["a", "b"]), "classifier.2.weight is"),
        (lambda d: edit(d, bank=AUBank.default().to_dict()), "classifier.0.weight is"),
        (lambda d: edit(d, activation="gelu"), "temporal.conv.weight is"),
        (lambda d: edit(d, logit_scale=...), "no logit_scale"),
        (lambda d: (d / "config.json").write_text("{"), "not valid JSON"),
        (lambda d: (d / "config.json").unlink(), "missing"),
        (lambda d: (d / "head.safetensors").unlink(), "no such file"),
        (lambda d: (d / "head.safetensors").write_bytes(b"\0" * 99), "cannot be read"),
    ],
)  # fmt: skip
def test_a_damaged_head_is_one_clear_error(saved, damage, message):
    damage(saved[1])
    with pytest.raises(CheckpointError, match=message):
        ClipAU.from_pretrained(saved[1])


def test_nan_in_a_head(saved):
    state = load_file(saved[1] / "head.safetensors")
    state["classifier.0.bias"][3] = torch.nan
    save_file(state, saved[1] / "head.safetensors")
    with pytest.raises(CheckpointError, match=r"NaN.*classifier\.0\.bias"):
        ClipAU.from_pretrained(saved[1])


def test_another_backbone_is_refused(saved):
    with pytest.raises(CheckpointError, match="made for tiny weights"):
        ClipAU.from_pretrained(saved[1], backbone=load_backbone("tiny", seed=4))


def test_published_heads(tmp_path, tiny):
    donor = ClipAU(tiny, bank=AUBank.released(), template="{}")
    path, x = save_published_head(tmp_path / "h.pth", donor), make_features(0).frames[None]
    loaded = ClipAU.load_released(path, tiny, classes=["neutral", "stress"])
    assert torch.equal(loaded(x).logits, donor(x).logits) and loaded.trained and loaded.classes == ("neutral", "stress")
    with pytest.raises(CheckpointError, match="46 action units, but the bank has 47"):
        ClipAU.load_released(path, tiny, bank=AUBank.default())
    with pytest.raises(CheckpointError, match="2 classes, but 3 names"):
        ClipAU.load_released(path, tiny, classes="abc")
    towers = dict(
        vision_cfg=dict(image_size=32, patch_size=8, layers=1, width=64), text_cfg=dict(width=64, heads=1, layers=1)
    )
    wide = load_backbone("wide", config=dict(embed_dim=32, **towers))
    with pytest.raises(CheckpointError, match="do not fit"):
        ClipAU.load_released(path, wide)
    torch.save({"something": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="not a published head"):
        ClipAU.load_released(tmp_path / "other.pth", tiny)


def test_an_untrained_head_refuses(model, video):
    with pytest.raises(UntrainedError, match="untrained_ok"):
        model.predict(video)
    assert model.predict(video, untrained_ok=True).label in model.classes


def test_features_of_another_backbone_are_refused(model, video):
    other = VideoFeatures(video.frames, video.times, video.found, backbone="0" * 16)
    with pytest.raises(InputError, match="Encode it again"):
        model.predict(other, untrained_ok=True)
    with pytest.raises(InputError, match="width 32"):
        model.predict(video.frames[:, :32], untrained_ok=True)


@pytest.mark.parametrize(
    "bad", [torch.zeros(20, 64), torch.zeros(1, 20, 63), torch.zeros(1, 20, 64, dtype=torch.long), torch.zeros(64)]
)
def test_wrong_shapes_and_types(model, bad):
    with pytest.raises(InputError, match=r"\[B, T, 64\]"):
        model(bad)


def test_parameters_at_vit_b_32_are_the_papers(tmp_path):
    model = ClipAU(load_backbone("ViT-B-32"), bank=AUBank.released(), template="{}")
    assert sum(p.numel() for p in model.parameters()) == 1_324_802


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m("film.mp4"),
        lambda m: m(torch.zeros(1, 20, 64), text=[0.0]),
        lambda m: ClipAU(3),
        lambda m: m.check_features(3),
    ],
)
def test_a_wrong_type_is_a_type_error_of_the_family(model, call):
    with pytest.raises(TypeError, match=r"got (str|list|int)") as caught:
        call(model)
    assert isinstance(caught.value, InputError)


def test_everything_moves(model, video):
    plain = model(video.frames[None]).logits
    for dtype, eps in ((torch.float64, 1e-5), (torch.float16, 1e-2)):
        moved = copy.deepcopy(model).to(dtype)
        assert {moved.backbone.dtype, moved.au_text.dtype, next(moved.backbone.model.parameters()).dtype} == {dtype}
        assert moved.backbone.hash == model.backbone.hash
        torch.testing.assert_close(moved.predict(video, untrained_ok=True).logits.float(), plain[0], atol=eps, rtol=eps)


def test_a_shared_backbone_stays_where_it_is(tiny):
    a, b = ClipAU(tiny), ClipAU(tiny)
    a.to("meta")
    assert a.backbone.device == "meta" and a.backbone.tower.positional_embedding.device.type == "meta"
    assert b.backbone is tiny and tiny.device == "cpu" and b(make_features(0).frames[None]).logits.isfinite().all()


def test_a_subclass_is_loaded_as_itself(saved, tmp_path, tiny):
    class Mine(ClipAU):
        pass

    assert type(Mine.from_pretrained(saved[1])) is Mine
    path = save_published_head(tmp_path / "h.pth", ClipAU(tiny, bank=AUBank.released(), template="{}"))
    assert type(Mine.load_released(path, tiny)) is Mine


def test_the_repr_says_what_it_is(saved):
    assert repr(saved[0]) == f"ClipAU(tiny, {len(saved[0].bank)} AUs, classes calm, stressed, other, trained)"
