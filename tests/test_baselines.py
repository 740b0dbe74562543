"Zero-shot, prompt ensemble, most confident views, softmax pooling: the formulas, their ends, and what is refused."

import warnings

import pytest
import torch
import torch.nn.functional as F
from conftest import make_features

from clip_autt import AUBank, ClipAU, InputError, load_backbone
from clip_autt.au import EMOTIONS, PAIN, TEMPLATES, fill_template
from clip_autt.backbone import UnseenTokenWarning
from clip_autt.methods.references import (
    CLASS_AUS,
    FrameMean,
    PromptEnsemble,
    SoftmaxPool,
    ZeroShot,
    class_sentences,
    softmax_pool,
    unit_mean,
)
from clip_autt.window import entropy
from clip_autt.method import encode_views


@pytest.fixture
def make(model):
    return lambda kind, **kwargs: kind(model, kind.Config(**kwargs), untrained_ok=True)


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def test_a_long_sentence_counts_no_more_than_a_short_one():
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(unit_mean(x), unit(unit(x).mean(0)), atol=1e-6)
    assert torch.allclose(unit_mean(x * torch.tensor([1.0, 100.0, 0.1, 3.0, 7.0])[:, None]), unit_mean(x), atol=1e-6)
    assert not torch.allclose(unit_mean(x), unit(x.mean(0)), atol=1e-3)


def test_zero_shot_is_the_scaled_cosine_with_class_sentences_and_needs_no_head(make, model, tiny):
    v = make_features(1, 30)
    texts = {"neutral": ("a face.", "a calm face."), "pain": ("a frown.",)}
    method = make(ZeroShot, sentences=tuple(texts.items()))
    w = torch.stack([unit(unit(tiny.encode_text(list(texts[c]))).mean(0)) for c in model.classes])
    f = unit(unit(v.frames).mean(0))
    expected = tiny.model.logit_scale.exp() * w @ f
    r = method.adapt(v)
    assert torch.allclose(r.logits, expected, atol=1e-5) and r.logits.equal(r.logits_before)
    assert torch.allclose(r.au, model(v.frames[None]).au[0], atol=1e-5)
    with torch.no_grad():
        for p in model.classifier.parameters():
            p.zero_()
    assert torch.allclose(make(ZeroShot, sentences=tuple(texts.items())).adapt(v).logits, expected, atol=1e-5)


def test_class_sentences_come_from_the_bank_or_hold_the_name():
    bank = AUBank.default()
    assert CLASS_AUS["pain"] == PAIN and all(CLASS_AUS[k] == codes for k, codes in EMOTIONS.items())
    for name, codes in CLASS_AUS.items():
        assert len(class_sentences(name)) == len(codes)
        assert all(bank[bank.index(code)].prompt in text for code, text in zip(codes, class_sentences(name)))
    assert class_sentences("boredom") == ("a person with an expression of boredom.",)


def test_the_bundled_model_knows_every_word_of_the_known_classes():
    facs = load_backbone("facs-tiny")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnseenTokenWarning)
        for name in ("neutral", *CLASS_AUS):
            facs.encode_text(list(class_sentences(name)))
    with pytest.warns(UnseenTokenWarning, match="boredom"):
        facs.encode_text(list(class_sentences("boredom")))


@pytest.mark.parametrize(
    "sentences, message",
    [((("joy", ("a smile.",)),), "joy"), ((("pain", ()),), "pain"), ((("pain", "a frown."),), "tuple")],
)
def test_zero_shot_refuses(make, sentences, message):
    with pytest.raises(InputError, match=message):
        make(ZeroShot, sentences=sentences)


def test_the_ensemble_of_the_own_template_is_clip_au(make, model):
    r = make(PromptEnsemble, templates=(model.template,)).adapt(make_features(0))
    assert torch.allclose(r.logits, r.logits_before, atol=1e-5) and torch.allclose(r.au, r.au_before, atol=1e-5)
    r = make(PromptEnsemble).adapt(make_features(0))
    assert not torch.allclose(r.au, r.au_before, atol=1e-4)


def test_the_ensemble_reaches_the_adapter_as_long_as_the_sentences_it_was_trained_on(make, model, tiny, monkeypatch):
    given = []
    embed = ClipAU.embed_text
    monkeypatch.setattr(ClipAU, "embed_text", lambda self, text: given.append(text) or embed(self, text))
    make(PromptEnsemble)
    each = torch.stack([tiny.encode_text(fill_template(t, model.bank.prompts)) for t in TEMPLATES])
    assert torch.allclose(given[-1].norm(dim=-1), model.au_text.norm(dim=-1), rtol=1e-5)
    assert torch.allclose(unit(given[-1]), unit(unit(each).mean(0)), atol=1e-5)


def test_the_ensemble_refuses_one_template_that_is_no_tuple(make):
    for templates in ((), TEMPLATES[0]):
        with pytest.raises(InputError, match="template"):
            make(PromptEnsemble, templates=templates)


def test_the_most_confident_views_are_averaged(make, model):
    v = make_features(2, 30)
    views = encode_views(model, v).all
    method = make(FrameMean, keep_fraction=0.25)
    h = entropy(method.score(views)[0])
    kept = h.argsort()[: len(views) // 4]
    assert len(kept) == 4
    assert torch.allclose(method.adapt(v).logits, method.score(unit(views[kept].mean(0)))[0], atol=1e-5)
    assert torch.allclose(
        make(FrameMean, keep_fraction=1.0).adapt(v).logits, method.score(unit(views.mean(0)))[0], atol=1e-5
    )
    assert torch.allclose(method.adapt(v).logits_before, model(v.frames[None]).logits[0], atol=1e-5)


def test_a_tenth_of_few_views_is_one_view(make, model):
    v = make_features(2, 10)  # the whole video, and one window that is the same
    r = make(FrameMean).adapt(v)
    assert torch.allclose(r.logits, r.logits_before, atol=1e-5)


@pytest.mark.parametrize("keep_fraction", [0.0, 1.1, -1.0, float("nan")])
def test_most_confident_views_refuses(make, keep_fraction):
    with pytest.raises(InputError, match="keep_fraction"):
        make(FrameMean, keep_fraction=keep_fraction)


@pytest.mark.parametrize("gamma, pooled", [(0.0, 2.0), (1.0, 4.76), (50.0, 5.0)])
def test_pooling_runs_from_the_mean_to_the_maximum(gamma, pooled):
    logits, weights = softmax_pool(torch.tensor([[1.0], [2.0], [5.0], [0.0]]), gamma)
    assert float(logits) == pytest.approx(pooled, abs=5e-3) and float(weights.sum()) == pytest.approx(1)


def test_each_class_is_pooled_by_its_own_weights():
    x = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    whole = softmax_pool(x, 2.0)[0]
    assert torch.allclose(whole, torch.stack([softmax_pool(x[:, [c]], 2.0)[0][0] for c in range(3)]))


def test_softmax_pooling_of_a_video(make, model):
    v = make_features(3, 40)
    windows = encode_views(model, v).windows
    x, au = make(SoftmaxPool).score(windows)
    r = make(SoftmaxPool, gamma=0.0).adapt(v)
    assert torch.allclose(r.logits, x.mean(0), atol=1e-5) and torch.allclose(r.au, au.mean(0), atol=1e-5)
    r = make(SoftmaxPool, gamma=1e5).adapt(v)
    assert torch.allclose(r.logits, x.max(0).values, atol=1e-4)
    assert torch.allclose(r.au, au[x[:, int(r.logits.argmax())].argmax()], atol=1e-4)


def test_the_kernel_takes_the_maximum_of_neighbours_first(make, model):
    v = make_features(3, 40)
    x = make(SoftmaxPool).score(encode_views(model, v).windows)[0].detach()
    r = make(SoftmaxPool, gamma=0.0, kernel=4).adapt(v)
    assert torch.allclose(r.logits, x.unfold(0, 4, 1).amax(-1).mean(0), atol=1e-5)
    r = make(SoftmaxPool, gamma=0.0, kernel=999).adapt(v)  # longer than the video: one maximum
    assert torch.allclose(r.logits, x.max(0).values, atol=1e-5)


@pytest.mark.parametrize(
    "kwargs", [dict(gamma=-1.0), dict(gamma=float("inf")), dict(gamma=float("nan")), dict(kernel=0)]
)
def test_softmax_pooling_refuses(make, kwargs):
    with pytest.raises(InputError, match=next(iter(kwargs))):
        make(SoftmaxPool, **kwargs)


def test_normalising_frames_first_keeps_a_loud_frame_from_winning(make):
    v = make_features(4, 12)
    loud = v.frames.clone()
    loud[0] *= 1000
    calm = make(ZeroShot).adapt(v).logits
    assert torch.allclose(make(ZeroShot).adapt(type(v)(loud, v.times, v.found)).logits, calm, atol=1e-4)
    assert not torch.allclose(F.normalize(loud.mean(0), dim=0), F.normalize(v.frames.mean(0), dim=0), atol=1e-2)
