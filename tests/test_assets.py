"""The model in the package: whole or refused, honest about its words, and useful on people it has never met."""

import json
import shutil
import warnings
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from clip_autt import AUBank, ClipAU, ClipAUTT, encode, load_backbone, make_clip
from clip_autt.au import DEFAULT_TEMPLATE, TEMPLATES, fill_template
from clip_autt.backbone import UnseenTokenWarning, UntrainedWarning
from clip_autt.utils.assets import asset, assets, file_hash
from clip_autt.utils.errors import BackboneError, CheckpointError, InputError
from clip_autt.faces.album import photograph_people, shown_faces
from clip_autt.faces.head import AU_ROW, BANK
from clip_autt.faces.pretrain import OPEN, RESERVED_SUBJECTS, SHOWN, auc_per_au, check_seeds, draw_faces
from clip_autt.faces.tasks import SOURCE_SUBJECTS, TARGET_DOMAIN, TASKS, VALIDATION_SUBJECTS, make_clips, stride

PEOPLE = Path(__file__).parents[1] / "weights" / "facs-people"


@pytest.fixture(scope="module")
def facs():
    return load_backbone("facs-tiny")


def test_all_files_are_listed_and_small():
    listed = json.loads((assets() / "hashes.json").read_text())
    files = {p.relative_to(assets()).as_posix() for p in assets().rglob("*") if p.is_file()} - {"hashes.json"}
    assert set(listed) == files
    assert all(file_hash(assets() / name) == digest for name, digest in listed.items())
    assert sum((assets() / name).stat().st_size for name in files) <= 12_000_000


@pytest.mark.parametrize(
    "name", ["facs-tiny/clip.safetensors", "facs-tiny/pain/head.safetensors", "facs-tiny/pain/config.json"]
)
def test_a_corrupted_asset_is_refused(name, tmp_path, monkeypatch):
    shutil.copytree(assets(), tmp_path / "assets")
    data = bytearray((tmp_path / "assets" / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "assets" / name).write_bytes(data)
    monkeypatch.setattr(import_module("clip_autt.utils.assets"), "assets", lambda: tmp_path / "assets")
    monkeypatch.setattr("clip_autt.model.assets", lambda: tmp_path / "assets")
    with pytest.raises(BackboneError, match=r"damaged.*Install the package again"):
        ClipAU.from_pretrained("facs-tiny")


def test_a_missing_asset_is_refused(tmp_path):
    with pytest.raises(BackboneError, match="missing"):
        asset("facs-tiny/clip.safetensors", tmp_path)


def test_it_loads_without_a_warning_and_the_same_each_time(facs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = load_backbone("facs-tiny")
    assert again.hash == facs.hash and again.pretrained == "bundled"
    assert facs.encode_frames(np.zeros((2, 64, 64, 3), np.uint8)).shape == (2, 128)


def test_random_weights_of_the_same_architecture_must_be_asked_for(facs):
    with pytest.warns(UntrainedWarning):
        other = load_backbone("my-tiny", config=facs.config)
    assert other.hash != facs.hash


def test_every_prompt_of_the_bank_is_known(facs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for template in TEMPLATES:
            facs.encode_text(fill_template(template, AUBank.default().prompts))


def test_a_word_it_has_never_seen_is_named(facs):
    with pytest.warns(UnseenTokenWarning, match="'zebra'") as caught:
        facs.encode_text(["a photo of a person with a zebra."])
    assert "'person'" not in str(caught[0].message)


def test_a_text_beyond_its_context_is_refused(facs):
    with pytest.raises(InputError, match="longer than the 40 tokens"):
        facs.encode_text(["brows " * 50])


def test_prompts_find_the_faces_of_new_people(facs):
    "Caption and image match: the AUC of each prompt on people nobody has seen; the model card has the full figures."
    faces, bank = draw_faces(930_000, 500), AUBank.default()
    texts = torch.nn.functional.normalize(facs.encode_text(fill_template(TEMPLATES[0], bank.prompts)), dim=-1)
    scores = (torch.nn.functional.normalize(facs.encode_frames(faces.pictures), dim=-1) @ texts.T).numpy()

    def auc(j):
        known = faces.seen[:, j] != OPEN
        yes, s = faces.seen[known, j] == SHOWN, scores[known, j]
        return (s[yes][:, None] > s[~yes][None]).mean()

    assert np.mean([auc(j) for j in range(len(bank))]) > 0.93


@pytest.mark.parametrize("task", TASKS)
def test_heads_know_their_task_on_new_people(task):
    model = ClipAU.from_pretrained(f"facs-tiny/{task}")
    assert model.trained and model.classes == TASKS[task].classes
    right = [
        model.predict(encode(model.backbone, clip)).label == clip.label
        for clip in make_clips(task, range(22_000, 22_004), n=6, every=stride(task))
    ]
    assert np.mean(right) > 0.7


def test_the_name_alone_means_pain():
    a, b = ClipAU.from_pretrained("facs-tiny"), ClipAU.from_pretrained("facs-tiny/pain")
    assert a.classes == b.classes == ("neutral", "pain")
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))


@pytest.mark.parametrize("name, hint", [("facs-tiny/stres", "facs-tiny/stress"), ("facs-tiny/joy", "facs-tiny/pain")])
def test_an_unknown_head_is_named(name, hint):
    with pytest.raises(CheckpointError, match=hint):
        ClipAU.from_pretrained(name)


def test_a_head_on_the_bundled_backbone_can_be_saved_and_loaded(facs, tmp_path):
    model = ClipAU.from_pretrained("facs-tiny/stress")
    model.save_pretrained(tmp_path / "mine")
    again = ClipAU.from_pretrained(tmp_path / "mine")
    clip = make_clip("stress", 3, "stress", domain=TARGET_DOMAIN)
    assert model.predict(encode(facs, clip)).probs == again.predict(encode(facs, clip)).probs


def test_it_can_be_personalized():
    model = ClipAU.from_pretrained("facs-tiny")
    video = encode(model.backbone, make_clip("pain", 3, "pain", domain=TARGET_DOMAIN))
    result = ClipAUTT(model).adapt(video)
    assert result.n_faces == 75 and abs(result.au - result.au_before).max() > 0
    more = ClipAUTT(model, steps=8, lr=1e-2).adapt(video)
    assert len(more.loss) == 8 and all(a > b for a, b in pairwise(more.loss)), "each step makes the window surer"
    assert more.probs[more.label] > result.probs[more.label] > result.probs_before[more.label], (
        "and with it the whole video"
    )


def test_reserved_people_are_refused():
    assert check_seeds(RESERVED_SUBJECTS - 5, 5)[-1] == 999_999
    with pytest.raises(InputError, match="reserved for outside evaluation"):
        draw_faces(RESERVED_SUBJECTS - 1, 2)


def test_the_build_script_uses_no_reserved_people(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "tools")
    import build_assets as b

    used = [set(check_seeds(*span)) for span in (b.TRAIN, b.VALIDATION, b.TEST)]
    used += [set(people) for people in (b.SOURCE_SUBJECTS, b.VALIDATION_SUBJECTS, b.EMOTIONAL)]
    assert len(set().union(*used)) == sum(map(len, used)), "somebody is in two sets"
    assert max(map(max, used)) < RESERVED_SUBJECTS
    with pytest.raises(InputError, match="reserved"):
        b.faces(tmp_path, RESERVED_SUBJECTS - 1, 2, 1)


def test_facs_people_was_trained_on_people_who_are_in_no_other_set(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "tools")
    import build_people as b

    used = [set(check_seeds(*span)) for span in (b.TRAIN, b.VALIDATION, b.TEST)] + [set(b.EMOTIONAL)]
    assert len(set().union(*used)) == sum(map(len, used)), "somebody is in two sets"
    assert not set().union(*used) & {*SOURCE_SUBJECTS, *VALIDATION_SUBJECTS, *range(1000)}


def test_facs_people_reads_people_whom_it_has_not_seen():
    backbone = load_backbone("facs-people", PEOPLE / "clip.safetensors")
    assert backbone.image_size == 96 and backbone.hash != load_backbone("facs-tiny").hash
    album = photograph_people(947_000, 60)
    faces = shown_faces(album)
    prompts = [fill_template(DEFAULT_TEMPLATE, [au.prompt])[0] for au in BANK]
    texts = torch.nn.functional.normalize(backbone.encode_text(prompts), dim=-1)
    scores = torch.nn.functional.normalize(backbone.encode_frames(album.pictures), dim=-1) @ texts.T

    def auc(au):
        j = AU_ROW[au]
        known = faces.seen[:, j] != OPEN
        return auc_per_au(scores[known, j : j + 1].numpy(), faces.seen[known, j : j + 1] == SHOWN)[0]

    for au in ("AU4", "AU12", "AU26", "AU43", "AU51", "AU53"):
        assert auc(au) > 0.85, (au, auc(au))


def test_the_card_of_facs_people_says_what_was_measured():
    facts, text = json.loads((PEOPLE / "metrics.json").read_text()), (PEOPLE / "README.md").read_text(encoding="utf-8")
    assert f"{facts['auc_mean']:.3f}" in text and f"{facts['zero_shot']:.3f}" in text
    assert len(facts["auc"]) == len(BANK) and "CC0" in text and "no medical assessment" in text
