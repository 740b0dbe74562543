"""Loading CLIP: every kind of file, every kind of mistake."""

import os
import pickle

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from clip_autt import (
    AUBank,
    AUPrompts,
    BackboneError,
    BankError,
    CheckpointError,
    Clip,
    ClipAU,
    InputError,
    encode_clip,
    load_backbone,
)
from clip_autt.backbone import UntrainedWarning
from clip_autt.utils.weights import weights_hash


class Trap:
    def __init__(self, flag):
        self.flag = str(flag)

    def __reduce__(self):
        return os.mkdir, (self.flag,)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".bin"])
@pytest.mark.parametrize("layout", ["open_clip", "wrapped"])
def test_local_files(tmp_path, tiny, suffix, layout):
    path, state = tmp_path / f"w{suffix}", tiny.model.state_dict()
    if layout == "wrapped":
        if suffix == ".safetensors":
            pytest.skip("safetensors holds no wrapper")
        state = {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    assert load_backbone("tiny", path).hash == tiny.hash


def test_openai_files_switch_to_quick_gelu(tmp_path, tiny):
    state = {
        **tiny.model.state_dict(),
        "input_resolution": torch.tensor(32),
        "context_length": torch.tensor(77),
        "vocab_size": torch.tensor(49408),
    }
    torch.save(state, tmp_path / "openai.pt")
    quick, texts = load_backbone("tiny", tmp_path / "openai.pt"), ["a smiling face"]
    assert quick.quick_gelu and not tiny.quick_gelu and quick.hash != tiny.hash
    assert not torch.allclose(quick.encode_text(texts), tiny.encode_text(texts))


def test_the_hash_of_a_model_with_gelu_is_that_of_its_weights(tiny):
    assert tiny.hash == weights_hash(tiny.model.state_dict()) == "e5d285a006735094"
    assert load_backbone("facs-tiny").hash == "b12ac185e07fd25c"


SMALL = dict(width=64, heads=1, layers=1)


@pytest.fixture
def vit(tmp_path, monkeypatch):
    "The weights of a small network that open_clip takes for ViT-B-32, and ways to save them."
    config = dict(embed_dim=32, vision_cfg=dict(image_size=32, patch_size=16, layers=1, width=64), text_cfg=SMALL)
    of_clip = open_clip.factory._MODEL_CONFIGS
    for name, more in {"ViT-B-32": {}, "ViT-B-32-quickgelu": dict(quick_gelu=True), "RN50": {}}.items():
        monkeypatch.setitem(of_clip, name, {**config, **more})
    state = load_backbone("mine", config=config).model.state_dict()

    def save(name, extras=(), metadata=None, beside=None):
        path = tmp_path / f"{len([*tmp_path.iterdir()])}" / name
        path.parent.mkdir(parents=True)
        entries = {**state, **{mark: torch.tensor(1) for mark in extras}}
        save_file(entries, path, metadata) if path.suffix == ".safetensors" else torch.save(entries, path)
        if beside is not None:
            (path.parent / "open_clip_config.json").write_text(beside)
        return path

    return save


@pytest.mark.parametrize(
    ("name", "how", "quick"),
    [
        ("openai_marks.pt", dict(extras=["vocab_size"]), True),
        ("mine.safetensors", dict(metadata={"quick_gelu": "true"}), True),
        ("mine.safetensors", dict(metadata={"quick_gelu": "False"}), False),
        ("open_clip_model.safetensors", dict(beside='{"model_cfg": {"quick_gelu": true}}'), True),
        ("open_clip_model.safetensors", dict(beside='{"model_cfg": {"embed_dim": 32}}'), False),
        ("ViT-B-32-openai.pt", {}, True),
        ("vit_b_32-LAION2B_S34B_B79K.bin", {}, False),
        ("mine.quickgelu.pt", {}, True),
        ("mine_gelu.pt", {}, False),
    ],
)
def test_what_a_file_says_about_its_activation(vit, name, how, quick):
    assert load_backbone("ViT-B-32", vit(name, **how)).quick_gelu is quick


@pytest.mark.parametrize("name", ["mine.pt", "openai_or_gelu.pt", "reopenaimed.safetensors"])
def test_an_unknown_activation_is_asked_for(vit, name):
    path = vit(name)
    with pytest.raises(BackboneError, match=r"nothing says.*quick_gelu=True.*ViT-B-32-quickgelu.*-openai\."):
        load_backbone("ViT-B-32", path)
    answers = [load_backbone("ViT-B-32", path, quick_gelu=quick) for quick in (False, True)]
    answers += [load_backbone("ViT-B-32-quickgelu", path), load_backbone("RN50", path)]
    assert [b.quick_gelu for b in answers] == [False, True, True, True], "all published weights of RN50 agree"
    assert answers[1].hash == answers[2].hash != answers[0].hash


def test_an_explicit_choice_must_not_contradict_what_is_known(vit):
    with pytest.raises(BackboneError, match=r"with QuickGELU\. Leave quick_gelu out"):
        load_backbone("ViT-B-32-quickgelu", vit("a.pt"), quick_gelu=False)
    with pytest.raises(BackboneError, match=r"trained with QuickGELU\. Leave"):
        load_backbone("ViT-B-32", "openai", quick_gelu=False)
    with pytest.raises(BackboneError, match=r"trained with GELU\. Leave"):
        load_backbone("ViT-B-32", "laion2b_s34b_b79k", quick_gelu=True)
    with pytest.raises(BackboneError, match="no configuration of open_clip"):
        load_backbone("ViT-B-32", vit("b.pt", beside="{"))
    with pytest.raises(BackboneError, match="do not fit"):  # likelier than an unknown activation, and said first
        load_backbone("ViT-B-16", vit("c.pt"))


def test_features_and_heads_of_the_other_activation_are_refused(tmp_path, tiny):
    save_file(tiny.model.state_dict(), tmp_path / "w.safetensors")
    quick = load_backbone("tiny", tmp_path / "w.safetensors", quick_gelu=True)
    model, other = ClipAU(quick), ClipAU(tiny)
    v = encode_clip(quick, Clip(np.zeros((2, 32, 32, 3), np.uint8), np.arange(2) / 25, found=np.ones(2, bool)))
    model.check_features(v)
    with pytest.raises(InputError, match="Encode it again"):
        other.check_features(v)
    model.save_pretrained(tmp_path / "head")
    with pytest.raises(CheckpointError, match="made for tiny weights"):
        ClipAU.from_pretrained(tmp_path / "head", tiny)
    again = ClipAU.from_pretrained(tmp_path / "head", pretrained=tmp_path / "w.safetensors")
    assert again.backbone.hash == quick.hash, "the configuration of the head says which activation the file needs"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda w: {"epoch": 3, "model_state_dict": w},
        lambda w: {"model": w, "optimizer": {"state": {}}},
        lambda w: {"module": w},
        lambda w: {"model": {"state_dict": {f"module.{k}": x for k, x in w.items()}}},
        lambda w: {f"_orig_mod.{k}": x for k, x in w.items()},
        lambda w: {f"module._orig_mod.{k}": x for k, x in w.items()},
        lambda w: {k.replace("visual.", "visual._orig_mod."): x for k, x in w.items()},
        lambda w: {"state_dict": {f"detector.clip.{k}": x for k, x in w.items()}},
        lambda w: {"model": {"name": "tiny", "layers": 2}, "module": w},
    ],
)
def test_weights_are_found_in_what_scripts_wrap_around_them(tmp_path, tiny, wrap):
    torch.save(wrap(tiny.model.state_dict()), tmp_path / "w.pt")
    assert load_backbone("tiny", tmp_path / "w.pt").hash == tiny.hash


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "Git LFS pointer.*git lfs pull"),
        (b"\n  <!DOCTYPE html><html><title>Quota exceeded</title></html>", "a web page"),
        (b"\xef\xbb\xbf<HTML>", "a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "a web page"),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_is_no_weights_file_is_named(tmp_path, content, message, suffix):
    (tmp_path / f"w{suffix}").write_bytes(content)
    with pytest.raises(BackboneError, match=message):
        load_backbone("tiny", tmp_path / f"w{suffix}")


@pytest.mark.parametrize("number", [np.float64(0.8), np.int32(3), np.zeros(2)])
def test_numpy_values_beside_weights_say_how_to_save_them_alone(tmp_path, tiny, number):
    torch.save({"best": number, "state_dict": tiny.model.state_dict()}, tmp_path / "w.pt")
    with pytest.raises(BackboneError, match=r"NumPy values.*torch\.save\(torch\.load") as said:
        load_backbone("tiny", tmp_path / "w.pt")
    code = str(said.value).partition("save the weights alone once: ")[2].partition(", with the name")[0]
    code = code.replace("PATH", repr(str(tmp_path / "w.pt"))).replace('"weights.pt"', repr(str(tmp_path / "alone.pt")))
    exec(code, {"torch": torch})  # the advice works
    assert load_backbone("tiny", tmp_path / "alone.pt").hash == tiny.hash


def test_custom_text_architectures_take_both_layouts(tmp_path):
    own = load_backbone("MobileCLIP-S1")
    old = {k.removeprefix("text."): v for k, v in own.model.state_dict().items()}
    save_file({k: v.contiguous() for k, v in old.items()}, tmp_path / "old.safetensors")
    assert load_backbone("MobileCLIP-S1", tmp_path / "old.safetensors").hash == own.hash


def test_a_pickle_that_would_run_code_does_not(tmp_path):
    flag = tmp_path / "executed"
    torch.save({"a": Trap(flag)}, tmp_path / "a.pt")
    (tmp_path / "b.bin").write_bytes(pickle.dumps(Trap(flag)))
    for name in ("a.pt", "b.bin"):
        with pytest.raises(BackboneError, match="could run code"):
            load_backbone("tiny", tmp_path / name)
    assert not flag.exists()


def test_torchscript_archives_say_how_to_convert(tmp_path):
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "a.pt")
    with pytest.raises(BackboneError, match=r"TorchScript.*state_dict"):
        load_backbone("tiny", tmp_path / "a.pt")


def test_damaged_files(tmp_path, tiny):
    state = {k: v.clone() for k, v in tiny.model.state_dict().items()}
    save_file(state, tmp_path / "ok.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "ok.safetensors").read_bytes()[:-1000])
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "garbage.pt").write_bytes(b"garbage" * 50)
    torch.save([1, 2], tmp_path / "list.pt")
    messages = {
        "cut.safetensors": "cut short",
        "empty.pt": "empty",
        "garbage.pt": "not a checkpoint|cannot be read",
        "list.pt": "not tensors by name",
    }
    for name, message in messages.items():
        with pytest.raises(BackboneError, match=message):
            load_backbone("tiny", tmp_path / name)
    state["visual.conv1.weight"][0] = torch.inf
    save_file(state, tmp_path / "inf.safetensors")
    with pytest.raises(BackboneError, match=r"infinite.*visual\.conv1\.weight"):
        load_backbone("tiny", tmp_path / "inf.safetensors")


def test_weights_of_another_architecture(tmp_path, tiny):
    save_file(tiny.model.state_dict(), tmp_path / "tiny.safetensors")
    with pytest.raises(BackboneError, match="do not fit"):
        load_backbone("ViT-B-32", tmp_path / "tiny.safetensors")


def test_unknown_names_and_tags(monkeypatch):
    with pytest.raises(BackboneError, match="Did you mean 'ViT-B-32'"):
        load_backbone("ViT-B32")
    with pytest.raises(BackboneError, match=r"neither a file nor a tag.*openai"):
        load_backbone("ViT-B-32", "opnai")
    with pytest.raises(BackboneError, match="no such file"):
        load_backbone("ViT-B-32", "weights.pt")
    monkeypatch.setattr("clip_autt.utils.hub._reachable", lambda address: False)
    monkeypatch.setenv("HF_HUB_CACHE", "nowhere")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "nowhere")
    with pytest.raises(BackboneError, match="local file"):
        load_backbone("ViT-B-32", "openai")


def test_random_weights_warn_and_leave_the_random_state_alone():
    state = torch.get_rng_state()
    with pytest.warns(UntrainedWarning, match="random weights"):
        load_backbone("tiny")
    assert torch.equal(state, torch.get_rng_state())


def test_wrong_inputs(tiny):
    for bad in (
        torch.zeros(2, 3, 32, 32, dtype=torch.long),
        torch.zeros(2, 3, 31, 32),
        torch.zeros(2, 32, 32, 3),
        torch.zeros(3, 32, 32),
    ):
        with pytest.raises(InputError):
            tiny.encode_frames(bad)
    for bad in ([], [""], ["a", 3], ["long " * 80]):
        with pytest.raises(InputError):
            tiny.encode_text(bad)
    with pytest.raises(InputError, match=r"\[N, L, 64\]"):
        tiny.encode_prompts(torch.zeros(2, 5, 32), torch.tensor([5, 5]))


def test_banks_and_templates(tiny):
    for bad in ([], ["a", "a"], ["a", ""]):
        with pytest.raises(BankError):
            AUBank(bad)
    with pytest.raises(ValueError, match="exactly one"):
        AUPrompts(tiny, template="no slot")
    with pytest.raises(InputError, match="runs into the prompt"):
        AUPrompts(tiny, template="pre{} now", bank=AUBank(["smile"]))


def test_towers_that_look_both_ways_still_learn():
    backbone = load_backbone("ours", config=dict(
        embed_dim=32, vision_cfg=dict(image_size=32, patch_size=16, layers=1, width=64),
        text_cfg=dict(width=64, heads=1, layers=2, no_causal_mask=True)))  # fmt: skip
    bank = AUBank(["smile", "closed eyes and open mouth"])
    for position in ("front", "end"):
        prompts = AUPrompts(backbone, bank, "a face with {} now", ctx_position=position)
        full = backbone.model.encode_text(
            backbone.tokenizer(["a face with smile now", "a face with closed eyes and open mouth now"])
        )
        torch.testing.assert_close(prompts(), full, atol=1e-5, rtol=1e-5)
        assert torch.autograd.grad(prompts().sum(), prompts.ctx)[0].abs().sum() > 0


def test_half_precision_is_close(tiny):
    half = load_backbone("tiny", dtype=torch.bfloat16)
    a, b = half.encode_text(["a smile"]).float(), tiny.encode_text(["a smile"])
    assert torch.nn.functional.cosine_similarity(a, b).item() > 0.99


def test_mirrored_and_reversed_frames_are_views_that_can_be_encoded():
    backbone = load_backbone("facs-tiny")
    frames = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
    for view in (frames[::-1], frames[:, :, ::-1]):
        assert torch.equal(backbone.encode_frames(view), backbone.encode_frames(view.copy()))
