"""The model in the package: whole or refused, honest about its words, and useful on people it has never met."""

import json
import shutil
import warnings
from dataclasses import asdict
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from clip_autt import AUBank, ClipAU, ClipAUTT, encode, load_backbone, make_clip
from clip_autt.au import TEMPLATES, fill_template
from clip_autt.backbone import UnseenTokenWarning, UntrainedWarning
from clip_autt.utils.assets import asset, assets, file_hash
from clip_autt.utils.errors import BackboneError, CheckpointError, InputError
from clip_autt.faces.album import RESERVED_SUBJECTS, SHOWN, ABSENT, Album, check_seeds, photograph_people, seen
from clip_autt.faces.head import AU_ROW, BANK
from clip_autt.faces.pretrain import auc_per_au
from clip_autt.faces.tasks import TARGET_DOMAIN, TASKS, make_clips, stride

CLEARLY_VISIBLE = "AU1 AU2 AU4 AU9 AU12 AU26 AU27 AU43 AU51 AU52 AU53 AU54".split()


@pytest.fixture(scope="module")
def facs():
    return load_backbone("facs-tiny")


@pytest.fixture(scope="module")
def strangers() -> Album:
    "Pictures of people whom no training, validation or test has seen."
    return photograph_people(947_000, 150)


@pytest.fixture(scope="module")
def scores(facs, strangers) -> np.ndarray:  # [I, N]
    "Cosines of these pictures and the action units' sentences."
    pictures = facs.encode_frames(strangers.pictures, batch_size=128)
    return torch.nn.functional.cosine_similarity(pictures[:, None], sentences(facs)[None], dim=-1).numpy()


def sentences(facs) -> torch.Tensor:  # [N, D]
    return facs.encode_text(fill_template(TEMPLATES[0], BANK.prompts))


def auc(scores: np.ndarray, yes: np.ndarray, no: np.ndarray) -> float:
    "How often one of the pictures that show it scores higher than one that does not."
    rows = yes | no
    return float(auc_per_au(scores[rows, None], yes[rows, None])[0])


def test_all_files_are_listed_and_small():
    listed = json.loads((assets() / "hashes.json").read_text())
    files = {p.relative_to(assets()).as_posix() for p in assets().rglob("*") if p.is_file()} - {"hashes.json"}
    assert set(listed) == files
    assert all(file_hash(assets() / name) == digest for name, digest in listed.items())
    assert sum((assets() / name).stat().st_size for name in files) <= 17_000_000


def test_the_people_of_the_demo_come_with_the_package_and_are_those_that_filming_gives(tmp_path, monkeypatch, facs):
    from clip_autt.faces import videos as v

    def film(*_, **__):
        pytest.fail("nbs/faces has changed: film the people anew with `python tools/build_assets.py --strangers`")
        yield

    monkeypatch.setenv("CLIP_AUTT_CACHE", str(tmp_path))
    monkeypatch.setattr(v, "_people", film)
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "tools")
    from build_assets import PACKAGED

    kept = {
        (task, first, n): v.kept_target_videos(facs, task, first, people, n=n) for task, first, people, n in PACKAGED
    }
    assert [*map(len, kept.values())] == [200, 100, 48, 36] and not [*tmp_path.iterdir()]
    assert len(v.kept_target_videos(facs, "pain", 0, 3)) == 60, "some of them"
    for (task, first, n), videos in kept.items():
        clip = next(make_clips(task, [first], n, TARGET_DOMAIN, first, every=stride(task)))
        video, label = videos[0]
        anew = encode(facs, clip)
        assert (clip.label, clip.id) == (label, video.id) and torch.equal(anew.times, video.times)
        assert video.frames.dtype == torch.float32
        # half the digits; sums of values up to 380 end otherwise in batches of another size
        torch.testing.assert_close(anew.frames, video.frames, rtol=2e-3, atol=5e-3)


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
    assert again.image_size == facs.image_size == 96
    assert facs.encode_frames(np.zeros((2, 96, 96, 3), np.uint8)).shape == (2, 128)


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


def test_sentences_find_the_faces_of_new_people(strangers, scores):
    "The mean, and each action unit that is clearly visible; the model card has the full figures."
    shown = seen(strangers)
    found = {au: auc(scores[:, j], shown[:, j] == SHOWN, shown[:, j] == ABSENT) for au, j in AU_ROW.items()}
    assert min((shown[:, AU_ROW[au]] == SHOWN).sum() for au in CLEARLY_VISIBLE) > 20, "enough pictures to say so"
    assert {au: round(found[au], 3) for au in CLEARLY_VISIBLE if found[au] <= 0.85} == {}
    assert np.mean([*found.values()]) > 0.85


@pytest.mark.parametrize("left, right, at_least", [("AU51", "AU52", 0.9), ("AU61", "AU62", 0.85)])
def test_it_tells_left_from_right(facs, strangers, scores, left, right, at_least):
    "Sentences that differ in one word only, and pictures that show either: the right ones score higher."
    shown, (a, b) = seen(strangers) == SHOWN, (AU_ROW[left], AU_ROW[right])
    texts = sentences(facs)
    assert torch.nn.functional.cosine_similarity(texts[a], texts[b], dim=0) < 0.9
    assert auc(scores[:, a], shown[:, a], shown[:, b]) > at_least
    assert auc(scores[:, b], shown[:, b], shown[:, a]) > at_least


def test_the_card_says_what_was_measured(facs, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "tools")
    import build_assets as b

    card = (assets() / "facs-tiny" / "README.md").read_text(encoding="utf-8")
    facts = json.loads((assets() / "facs-tiny" / "metrics.json").read_text(encoding="utf-8"))
    assert {*facts} == {"auc", "auc_mean", "auc_worst", "tone_gap", "parts", "zero_shot", "chance", "heads"}
    assert [*facts["auc"]] == list(BANK.ids) and [*facts["heads"]] == [*TASKS]
    assert facts["auc_mean"] == pytest.approx(np.mean([*facts["auc"].values()]), abs=1e-3)
    assert facts["auc_worst"] == pytest.approx(min(facts["auc"].values()), abs=1e-3)
    assert facts["parts"] == [dict(part=p.title, size=p.size, **asdict(p.recipe)) for p in b.PARTS]
    said = [f"{facts['auc_mean']:.3f} |", f"{facts['auc_worst']:.3f} (", f"{facts['tone_gap']:+.3f} |"]
    said += [f"{facts['zero_shot']:.3f}, chance {facts['chance']:.3f} |", "CC0", "no medical assessment"]
    said += [f"{au} | {x:.3f} |" for au, x in facts["auc"].items()]
    said += [f"{h['val_war']:.3f} | {h['personal_war']:.3f} |" for h in facts["heads"].values()]
    assert not [x for x in said if x not in card]
    assert b.card(facts, facs) == card, "the card is made of these numbers"


@pytest.mark.parametrize("task", TASKS)
def test_heads_know_their_task_on_new_people(task):
    model = ClipAU.from_pretrained(f"facs-tiny/{task}")
    assert model.trained and model.classes == TASKS[task].classes
    right = [
        model.predict(encode(model.backbone, clip)).label == clip.label
        for clip in make_clips(task, range(22_000, 22_004), n=6, every=3 * stride(task))
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
    for first, n in ((RESERVED_SUBJECTS - 1, 2), (RESERVED_SUBJECTS, 1)):
        with pytest.raises(InputError, match="reserved for outside evaluation"):
            photograph_people(first, n)


def test_the_build_script_uses_no_reserved_people_and_nobody_twice(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "tools")
    import build_assets as b

    used = [set(check_seeds(*span)) for span in (b.TRAIN, b.VALIDATION, b.TEST)]
    used += [set(people) for people in (b.SOURCE_SUBJECTS, b.VALIDATION_SUBJECTS, b.EMOTIONAL)]
    assert len(set().union(*used)) == sum(map(len, used)), "somebody is in two sets"
    assert max(map(max, used)) < RESERVED_SUBJECTS
    strangers = {*range(1000), *range(947_000, 947_150)}  # of the benchmark, and of this file
    assert not set().union(*used) & strangers
    with pytest.raises(InputError, match="reserved"):
        b.album(tmp_path, RESERVED_SUBJECTS - 1, 2, 1)
    assert not [*tmp_path.iterdir()]


def test_the_build_script_makes_an_album_in_chunks_that_are_kept(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "tools")
    import build_assets as b

    monkeypatch.setattr(b, "CHUNK", 2)
    first, whole = b.album(tmp_path, 948_000, 3, 1), photograph_people(948_000, 3)
    assert np.array_equal(first.pictures, whole.pictures) and np.array_equal(first.aus, whole.aus)
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert [*sorted(kept)] == ["people-948000-2.npz", "people-948002-1.npz"]
    monkeypatch.setattr(b, "photograph_people", lambda *_: pytest.fail("photographed again"))
    again = b.album(tmp_path, 948_000, 3, 1)
    assert np.array_equal(again.pictures, whole.pictures) and np.array_equal(again.people, whole.people)
