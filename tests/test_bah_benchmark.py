"""BAH as a benchmark: its scores and their constants, its files, its levels, and the rival that looks at wavering."""

import json
import pickle
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import SHARED, make_features
from hypothesis import given, settings, strategies as st
from PIL import Image
from sklearn.metrics import auc, average_precision_score, f1_score

from clip_autt.data.bah import BAH, read_segments
from clip_autt.data.bah_facts import BAH_RELEASES, release_line
from clip_autt.data.bah_words import label_spans, read_cues, read_frame_labels, read_transcripts, read_words
from clip_autt.data.base import Findings
from clip_autt.data.encode import encode_manifest
from clip_autt.data.facts import FACTS
from clip_autt.evaluation.bah_protocol import (
    LADDER,
    PUBLISHED,
    Samples,
    films_of,
    frame_samples,
    level_table,
    method_frames,
    model_frames,
    personalization,
    published_table,
    result_samples,
    spread_windows,
    video_probability,
    video_samples,
    window_videos,
)
from clip_autt.evaluation.binary import (
    ap_bah,
    average_precision,
    avg_f1,
    binary_scores,
    constant_scores,
    which_constant,
)
from clip_autt.evaluation.evaluate import evaluate
from clip_autt.features import LabeledVideo
from clip_autt.methods.au_instability import AUInstability, AUInstabilityConfig, fit_waver, instability
from clip_autt.methods.registry import INFORMED_METHODS, METHODS
from clip_autt.model import ClipAU
from clip_autt.personal.training import made_up_videos
from clip_autt.utils.errors import InputError, ManifestError
from clip_autt.video.clip import Clip
from clip_autt.video.io import write_video
from clip_autt.window import window_starts

OFFICIAL = SHARED / "data/official"
official = pytest.mark.skipif(
    not (OFFICIAL / "bah_source_sub_train_labels.csv").exists(),
    reason="the published label files are not on this machine (../shared)",
)
calm = settings(max_examples=25, deadline=None)  # a busy machine is no fault
labels_and_scores = st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=2, max_size=60).filter(
    lambda pairs: any(y for y, _ in pairs)
)


# ---- scores ----


@pytest.mark.parametrize(
    "positive, n, never, always",
    [(65_756, 335_110, 0.4456, 0.1640), (318, 525, 0.2828, 0.3772), (239, 392, 0.2807, 0.3788)],
)
def test_the_six_constants_of_the_published_counts(positive, n, never, always):
    c = constant_scores(positive, n)
    assert c["never"].avg_f1 == pytest.approx(never, abs=1e-4) and c["always"].avg_f1 == pytest.approx(always, abs=1e-4)


@calm
@given(st.integers(0, 30), st.integers(1, 30))
def test_constants_are_what_constant_answers_score(positive, more):
    n = positive + more
    y = [1] * positive + [0] * more
    for name, guess in (("never", 0), ("always", 1)):
        c = constant_scores(positive, n)[name]
        assert c.avg_f1 == pytest.approx(avg_f1(y, [guess] * n)) and c.accuracy == pytest.approx(
            np.mean(np.array(y) == guess)
        )
        if positive:
            assert c.ap_bah == pytest.approx(ap_bah(y, [0.4] * n))
            assert c.average_precision == pytest.approx(average_precision(y, [0.4] * n))


def test_the_mean_of_both_f1_by_hand():
    assert avg_f1([1, 1, 0, 0], [1, 0, 0, 0]) == pytest.approx(0.7333, abs=1e-4)
    assert avg_f1([0, 0], [0, 0]) == 0.5, "a class that never occurs counts as 0"
    assert avg_f1(np.array([True, False]), torch.tensor([1, 0])) == 1
    with pytest.raises(InputError):
        avg_f1([0, 1], [0, 2])


@calm
@given(labels_and_scores)
def test_scores_are_those_of_scikit_learn(pairs):
    y, p = map(list, zip(*pairs))
    guess = [int(x > 0.5) for x in p]
    s = binary_scores(y, guess, p)
    f1 = f1_score(y, guess, labels=[0, 1], average=None, zero_division=0)
    assert s["avg_f1"] == pytest.approx(f1.mean()) and s["f1_positive"] == pytest.approx(f1[1])
    assert s["average_precision"] == pytest.approx(average_precision_score(y, p))


@calm
@given(labels_and_scores)
def test_the_average_precision_of_the_release_threshold_by_threshold(pairs):
    y, p = map(np.array, zip(*pairs))
    precision, recall = [], []
    for threshold in np.arange(0, 1, 0.001):
        chosen = p >= threshold
        hits = (chosen & (y == 1)).sum()
        precision.append(hits / chosen.sum() if chosen.any() else 0.0)
        recall.append(hits / y.sum())
    assert ap_bah(y, p) == pytest.approx(auc(recall, precision), abs=1e-12)


def test_the_average_precision_of_the_release_is_none():
    y = [1, 0, 0, 1, 0]
    assert ap_bah(y, [0.3] * 5) == pytest.approx(0.2), "half of the base rate"
    perfect = [0.9, 0.1, 0.1, 0.9, 0.1]
    assert ap_bah(y, perfect) == pytest.approx(0.5) and average_precision(y, perfect) == 1
    assert ap_bah(y, y) == 0 and average_precision(y, y) == 1
    narrow = [0.4009, 0.4001, 0.4002, 0.4008, 0.4003]
    assert ap_bah(y, narrow) == pytest.approx(0.2) and average_precision(y, narrow) == 1


@pytest.mark.parametrize("y, p", [([0, 0], [0.1, 0.2]), ([0, 1], [0.1]), ([0, 2], [0.1, 0.2]), ([0, 1], [0.1, np.nan])])
def test_what_has_no_average_precision_is_refused(y, p):
    for score in (average_precision, ap_bah):
        with pytest.raises(InputError):
            score(y, p)


def test_published_rows_that_are_constants():
    t = published_table()
    assert len(t) == len(PUBLISHED) == 32
    assert set(t[t.constant != ""][["table", "row", "constant"]].itertuples(index=False, name=None)) == {
        (21, "definition 1", "never"),
        (23, "plain question", "never"),
        (23, "definition 2", "always"),
    }
    assert which_constant(0.2827, 318, 525) == which_constant(0.2828, 318, 525) == "never", "cut off or rounded"
    assert which_constant(0.2826, 318, 525) == "" == which_constant(0.2829, 318, 525)


# ---- facts and files ----


def test_the_parts_of_both_sizes_add_up():
    for r in BAH_RELEASES.values():
        for field in ("people", "videos", "positive_videos"):
            assert sum(getattr(c, field) for c in r.parts.values()) == getattr(r.whole, field)


@official
@pytest.mark.parametrize(
    "split, part, name, lost", [("source", "train", "train", 3), ("validation", "validation", "val", 0)]
)
def test_the_published_segments_agree_with_the_facts_of_the_smaller_set(split, part, name, lost):
    segments = read_segments([OFFICIAL / f"bah_source_sub_{name}_labels.csv"], Findings())
    videos = defaultdict(set)
    for s in segments:
        videos[s.subject, s.video].add(s.label)
    c = BAH_RELEASES[2025].parts[part]
    assert len({who for who, _ in videos}) == c.people and len(videos) == c.videos
    positive = sum("1" in labels for labels in videos.values())
    assert positive + lost == c.positive_videos, "segments below 16 frames are not in the tables"
    assert {who for who, _ in videos} == {*getattr(FACTS["bah"], split)}


def test_transcripts_keep_commas_lines_and_both_spellings(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("Videos/1/V/1_A B_Video.mp4,1,Yes, no,\nperhaps.\n\nVideos/1/V/1_C_Video.mp4,0\nnothing.mp4,1,x\n")
    findings = Findings()
    said = read_transcripts([path], findings)
    assert said == {("1", "1_A_B_Video.mp4"): "Yes, no, perhaps.", ("1", "1_C_Video.mp4"): ""}
    assert len(findings.problems) == 1 and "nothing.mp4" in findings.problems[0]


def test_words_are_seconds_in_order_and_bad_rows_are_said(tmp_path):
    path = tmp_path / "w.csv"
    path.write_text("start;end;word;confidence\n500;900;b;50\n0;400;a;100\n-1;5;c;1\n1;x;d;1\n1;2;;1\n1;2;e;200\n")
    findings = Findings()
    words = read_words(path, findings)
    assert [tuple(w) for w in words] == [("a", 0, 0.4, 1), ("b", 0.5, 0.9, 0.5)]
    assert len(findings.problems) == 4


def test_frame_labels_run_nothing_and_say_what_is_odd(tmp_path):
    path = tmp_path / "video_annotation.yaml"
    path.write_text(json.dumps({"v": {"frame_annotation": [[0, 0], [1, 1]]}, "w": {"frame_annotation": [[0, 7]]}}))
    findings = Findings()
    labels = read_frame_labels(path, findings)
    assert {k: x.tolist() for k, x in labels.items()} == {"v": [0, 1]} and len(findings.problems) == 1
    path.write_text("v: !!python/object/apply:os.system ['true']")
    with pytest.raises(ManifestError, match="not a plain YAML"):
        read_frame_labels(path, Findings())
    path.write_text("[1, 2]")
    with pytest.raises(ManifestError, match="list"):
        read_frame_labels(path, Findings())


@calm
@given(st.lists(st.integers(0, 1), max_size=40))
def test_spans_are_the_frames_again(labels):
    again = [0] * len(labels)
    for first, last in label_spans(labels):
        again[first : last + 1] = [1] * (last + 1 - first)
    assert again == labels


def test_cues_say_that_their_format_is_inferred(tmp_path):
    path = tmp_path / "cues.csv"
    path.write_text("video,start,end,cue\nv,0:01,0:02.5,face|voice\nv,bad,3,x\n")
    findings = Findings()
    (cue,) = read_cues(path, findings)
    assert (cue.start, cue.end, cue.cues) == (1, 2.5, ("face", "voice"))
    assert "inferred" in findings.problems[0] and len(findings.problems) == 2


# ---- levels ----


@calm
@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 20), st.integers(0, 9))
def test_frames_are_the_mean_of_the_windows_that_cover_them(n, size, hop, seed):
    hop = min(hop, size)
    starts = window_starts(n, size, hop)
    x = torch.randn(len(starts), 2, generator=torch.Generator().manual_seed(seed))
    plain = [torch.stack([x[i] for i, s in enumerate(starts) if s <= t < s + size]).mean(0) for t in range(n)]
    assert torch.allclose(spread_windows(x, starts, size, n), torch.stack(plain), atol=1e-5)


def test_one_window_as_long_as_the_video_is_a_constant(model):
    v = make_features(1)
    frames = model_frames(model, v, 20)
    assert torch.allclose(frames, frames[:1].expand(20, 2), atol=1e-6)
    assert torch.allclose(frames[0], model.predict(v, untrained_ok=True).logits, atol=1e-4)
    (only,) = window_videos(v, 99)
    assert torch.equal(only.frames, v.frames) and only.subject == v.subject
    with pytest.raises(InputError, match="would leave frames out"):
        window_videos(v, 4, 5)


def test_windows_of_a_method_give_what_the_model_gives(model):
    from clip_autt.method import NoAdaptation

    v = make_features(2, 37)
    plain = NoAdaptation(model, untrained_ok=True)
    assert torch.allclose(method_frames(plain, v, 16, 1), model_frames(model, v, 16), atol=1e-4)


def test_three_ways_to_a_video():
    frames = torch.tensor([[0.0, 9], [2, 0], [2, 0]])
    assert video_probability(frames, "majority") == pytest.approx(1 / 3)
    assert video_probability(frames, "mean logits") == pytest.approx(torch.sigmoid(torch.tensor(5 / 3)).item())
    assert video_probability(frames) == pytest.approx(torch.sigmoid(torch.tensor([9.0, -2, -2])).mean().item())


def samples(seed=0, n=40):
    g = np.random.default_rng(seed)
    return Samples(g.integers(2, size=n), g.random(n), np.array(["a", "b", "c", "d"] * (n // 4), object))


def test_a_table_has_both_constants_and_pools():
    s = samples()
    t = level_table({"m": s, "never said": replace(s, p=np.full(40, 0.2))})
    assert [*t.index] == ["m", "never said", "never", "always"]
    for column in ("avg_f1", "accuracy", "average_precision", "ap_bah", "people"):
        assert t[column]["never said"] == pytest.approx(t[column]["never"]), column
    assert t.avg_f1["m"] == pytest.approx(avg_f1(s.y, s.guess))
    assert t.people["m"] == pytest.approx(np.mean([avg_f1(s.of(w).y, s.of(w).guess) for w in "abcd"]))
    best = max(t.people["never"], t.people["always"])
    assert t.gain["m"] == pytest.approx(t.people["m"] - best)


def test_for_one_person_pooled_and_mean_agree():
    t = level_table({"m": samples().of("b")})
    assert t.avg_f1["m"] == pytest.approx(t.people["m"]) and np.isnan(t.low["m"])


def test_frames_without_truth_are_left_out_and_counted():
    s = frame_samples([torch.zeros(3, 2), torch.ones(2, 2)], [np.array([0, -1, 1]), np.array([-1, -1])], ["a", "b"])
    assert s.y.tolist() == [0, 1] and s.left_out == 3 and [*s.people] == ["a", "a"]
    with pytest.raises(InputError, match="one of each"):
        frame_samples([torch.zeros(3, 2)], [np.array([0])], ["a"])


def test_a_missing_answer_is_wrong_for_both_classes():
    s = replace(samples(), p=np.full(40, np.nan))
    t = level_table({"silent": s})
    assert t.avg_f1["silent"] == 0 and np.isnan(t.average_precision["silent"])


# ---- films ----

NAME = "82711_Question_1_DAY_HOUR_Video.mp4"


@pytest.fixture
def segment_table():
    head = "video,segment_id,label,num_frames,start_frame,end_frame\n"
    return head + "".join(
        f"Videos/82711/Visite_1/{NAME},{i},{label},{b + 1 - a},{a},{b}\n"
        for i, (label, a, b) in enumerate([(0, 0, 119), (1, 120, 149), (0, 160, 179)])
    )


def test_films_of_cut_out_faces_are_put_together_again(tmp_path, segment_table):
    visit = tmp_path / "BAH_DB/cropped-aligned-faces/Videos/82711/Visite_1" / NAME
    visit.mkdir(parents=True)
    for i in range(0, 180, 2):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(visit / f"frame-{i}.jpg")
    (tmp_path / "BAH_DB/target.csv").write_text(segment_table)
    data = BAH(tmp_path)
    (film,) = films_of(data)
    assert len(data) == 4 and film.item.label == "ambivalence" and film.item.split == "target"
    numbers = [int(f.stem.split("-")[1]) for f in film.item.path.files]
    assert numbers == [*range(0, 150, 2), *range(160, 180, 2)]
    expected = [int(120 <= i <= 149) for i in numbers]
    assert film.truth(film.item.path.times).tolist() == expected
    assert film.truth([155 / 24, 200 / 24]).tolist() == [-1, -1]
    assert "1 video of 1 person: neither" in release_line(data)


def test_frames_of_film_files_from_end_to_end(tmp_path, segment_table, model):
    root = tmp_path / "BAH_DB"
    path = root / "Videos/82711/Visite_1" / NAME
    path.parent.mkdir(parents=True)
    frames = np.random.default_rng(0).integers(0, 255, (180, 32, 32, 3), dtype=np.uint8)
    write_video(Clip(frames, np.arange(180) / 24), path)
    (root / "target.csv").write_text(segment_table)
    data = BAH(root)
    films = films_of(data)
    whole = replace(data, items=tuple(f.item for f in films))
    (video,) = encode_manifest(model.backbone, whole, data.fps, "none", progress=False)
    truth = films[0].truth(video.video.times)
    seconds = np.asarray(video.video.times)
    assert (truth[seconds < 4.99] == 0).all() and (truth[(seconds > 5.01) & (seconds < 6.2)] == 1).all()
    assert (truth[(seconds > 6.26) & (seconds < 6.65)] == -1).all() and {*truth} == {-1, 0, 1}
    answers = [model_frames(model, video.video)]
    s = frame_samples(answers, [truth], ["82711"])
    assert s.left_out == (truth == -1).sum() and len(s.y) + s.left_out == len(video.video)
    t = level_table({"source": s})
    assert {"never", "always"} <= {*t.index}
    assert video_samples(answers, [1], ["82711"]).y.tolist() == [1]


def test_a_list_of_whole_videos_gives_films_with_one_label(tmp_path):
    path = tmp_path / "BAH_DB/Videos/82711/Visite_1" / NAME
    path.parent.mkdir(parents=True)
    path.touch()
    (tmp_path / "BAH_DB/test.txt").write_text(f"Videos/82711/Visite_1/{NAME},1,Well, yes.\n")
    (film,) = films_of(BAH(tmp_path))
    assert film.item.label == "ambivalence"
    assert film.spans == (), "a label of a whole answer is no truth of its frames"


# ---- wavering ----


@calm
@given(st.integers(1, 20), st.integers(1, 16), st.integers(0, 99))
def test_a_constant_moves_the_means_only_and_time_turns_the_slopes(hops, hop, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(16 + hops * hop, 3, generator=g, dtype=torch.float64)
    shift = torch.randn(3, generator=g, dtype=torch.float64)
    here, moved, back = instability(x, 16, hop), instability(x + shift, 16, hop), instability(x.flip(0), 16, hop)
    assert torch.allclose(moved[1:], here[1:]) and torch.allclose(moved[0] - here[0], shift)
    assert torch.allclose(back, here * torch.tensor([1.0, 1, -1, 1])[:, None].double())


def test_wavering_by_hand():
    x = torch.arange(4.0)[:, None]
    found = instability(x, 4, 4)[:, 0]
    assert torch.allclose(found, torch.tensor([1.5, 1.25**0.5, 1, 3]))
    assert instability(x[:1])[1:].abs().max() == 0, "one frame"


@pytest.fixture(scope="module")
def trained(tiny):
    model = ClipAU(tiny)
    model.trained = True
    return model, made_up_videos("ABCDEF", clips=6), made_up_videos("XYZ", clips=6, seed=1)


@pytest.mark.parametrize("personal", [False, True])
def test_answers_do_not_depend_on_neighbours_or_processes(trained, personal):
    model, source, targets = trained
    method = AUInstability(model, source=source, personal=personal)
    videos = [x.video for x in targets]
    together = [a.logits for a in method.adapt_many(videos)]
    method.reset()
    again = [method.adapt(v).logits for v in videos]
    assert all(torch.equal(a, b) for a, b in zip(together, again))
    other = pickle.loads(pickle.dumps(method))
    other.reset()
    assert torch.equal(other.adapt(videos[0]).logits, again[0])
    if not personal:
        alone = [method.adapt(v).logits for v in reversed(videos)][::-1]
        assert all(torch.equal(a, b) for a, b in zip(together, alone))


def test_a_persons_rest_is_forgotten_with_the_person(trained):
    model, source, targets = trained
    method = AUInstability(model, source=source, personal=True)
    first, *_, last = (x.video for x in targets)
    alone = method.adapt(last).logits
    method.adapt_many([first, last])
    method.predict(first)
    assert method.state["n"] == 1 and torch.equal(method.adapt_many([first, last])[1].logits, alone)
    with pytest.raises(InputError, match="must not see a label"):
        method.adapt(targets[0])


def test_the_regression_takes_any_series_and_uses_the_source_labels(trained):
    g = torch.Generator().manual_seed(0)
    still, torn = (
        [0.3 * torch.randn(40, 4, generator=g) + k * torch.sin(torch.arange(40) / 3)[:, None] for _ in range(12)]
        for k in (0, 1)
    )
    people = [*"aabbccddeeff"]
    head = fit_waver(still + torn, [0] * 12 + [1] * 12, people * 2, 2, AUInstabilityConfig(parts="spread"))
    features = torch.stack([instability(x)[1:].flatten() for x in still + torn])
    assert (head.logits(features).argmax(-1) == torch.tensor([0] * 12 + [1] * 12)).all()
    swapped = fit_waver(still + torn, [1] * 12 + [0] * 12, people * 2, 2, AUInstabilityConfig(parts="spread"))
    assert (swapped.logits(features).argmax(-1) == torch.tensor([1] * 12 + [0] * 12)).all()


def test_the_ladder_is_made_of_registered_methods(trained):
    model, source, targets = trained
    assert all(name in METHODS | INFORMED_METHODS for name, _ in LADDER.values() if name)
    results = personalization(model, source, targets, ("source only", "instability"), control=1, with_oracle=False)
    s = result_samples(results)
    assert {*s} == {"source only", "instability"} and len(s["instability"].y) == len(targets) - 3
    right = np.mean([g == y for g, y in zip(s["instability"].guess, s["instability"].y)])
    assert right == pytest.approx(results.per_subject().war["instability"].mean())


def test_labels_of_the_strangers_change_nothing(trained):
    model, source, targets = trained
    other = {"neutral": "pain", "pain": "neutral"}
    method = AUInstability(model, source=source, personal=True)
    tables = [
        evaluate({"m": method}, videos, model, progress=False).table["prob_pain"]
        for videos in (targets, [LabeledVideo(v, other[label]) for v, label in targets])
    ]
    assert tables[0].equals(tables[1])


def test_lines_of_a_list_that_make_no_sense_are_no_speech(tmp_path):
    file, findings = tmp_path / "list.txt", Findings()
    first, other = "Videos/p1/v1/a.mp4", "Videos/p1/v1/b.mp4"
    file.write_text(f"path,label,transcript\n{first},1,hello\n{other},2,hi\nand more\n")
    assert list(read_transcripts([file], findings).values()) == ["hello"]
    assert len(findings.problems) == 3 and "line 3" in findings.problems[1]


@pytest.mark.parametrize("label", ("0.7", ".inf", "1.5"))
def test_half_a_label_is_none(tmp_path, label):
    file, findings = tmp_path / "v.yaml", Findings()
    file.write_text(f"a.mp4:\n  frame_annotation:\n  - [0, {label}]\n")
    assert read_frame_labels(file, findings) == {} and len(findings.problems) == 1


def test_yaml_that_breaks_its_reader(tmp_path):
    for text in ("a: 2024-13-45", "a: " + "[" * 3000):
        (tmp_path / "v.yaml").write_text(text)
        with pytest.raises(ManifestError, match="not a plain YAML file"):
            read_frame_labels(tmp_path / "v.yaml", Findings())


def test_shares_where_percents_are_expected_are_said(tmp_path):
    file, findings = tmp_path / "w.csv", Findings()
    file.write_text("start;end;word;confidence\n" + "".join(f"{i}00;{i}50;hi;0.9\n" for i in range(1, 5)))
    read_words(file, findings)
    assert "shares from 0 to 1" in findings.problems[0]
