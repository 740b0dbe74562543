"Faces in words: what is named and when, classes by sentences, answers that are read strictly, a server next door."

import json
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import make_features

from clip_autt import InputError, NoFaceError
from clip_autt.data.au_tables import AUTable
from clip_autt.evaluation.metrics import macro_f1
from clip_autt.series.au_series import series_of
from clip_autt.utils.errors import BackboneError
from clip_autt.words.chat_server import ChatServer, chat_reply, chat_request, is_this_machine, picture_url
from clip_autt.words.language_model import (
    YES_NO,
    AnswerWith,
    Asked,
    LanguageModel,
    LanguageModelError,
    ambivalence_question,
    ask_all,
    build_question,
    parse_answer,
    spread_frames,
)
from clip_autt.words.sentences import (
    AT_REST,
    NO_FACE,
    Levels,
    describe_aus,
    describe_signals,
    hop_windows,
    levels_of,
    levels_of_features,
    shown_runs,
    tell_aus,
    tell_clip,
    tell_time,
    trend_word,
)
from clip_autt.words.zero_shot import (
    AMBIVALENCE,
    answer_counts,
    balance_logits,
    class_vectors,
    embed_told,
    film_logits,
    fit_text_head,
    told_sentences,
    unit_mean,
    word_logits,
)


def levels(*values, names=("jaw drop",)):
    x = np.array(values, float).reshape(len(values), -1)
    return Levels(np.arange(len(x)) / 10, x, tuple(names))


def au_table(values, codes=(1, 26), presence=None, times=True):
    x = np.array(values, float)
    return AUTable(np.arange(len(x)) / 10 if times else None, np.arange(len(x)), x, presence, codes, "by hand")


# sentences


@pytest.mark.parametrize(
    ("n", "windows"), [(25, [(0, 20), (5, 25)]), (20, [(0, 20)]), (3, [(0, 3)]), (30, [(0, 20), (10, 30)])]
)
def test_the_last_window_ends_with_the_film(n, windows):
    assert hop_windows(n) == windows


@pytest.mark.parametrize("size", [1, 4, 20])
@pytest.mark.parametrize("hop", [1, 3, 10])
def test_windows_have_one_size_and_leave_nothing_out(size, hop):
    for n in range(1, 60):
        found = hop_windows(n, size, hop)
        assert {b - a for a, b in found} == {min(n, size)}
        assert found == sorted({*found}) and found[-1][1] == n
        assert hop > size or {i for a, b in found for i in range(a, b)} == {*range(n)}


@pytest.mark.parametrize("bad", [dict(n=0), dict(n=5, size=0), dict(n=5, hop=0)])
def test_windows_that_make_no_sense_are_refused(bad):
    with pytest.raises(InputError, match="must be 1 or more"):
        hop_windows(**bad)


def test_above_the_threshold_means_above():
    assert describe_aus(levels(0.5))[0].text == AT_REST
    assert describe_aus(levels(0.5001))[0].text == "jaw drop"


def test_one_frame_of_a_window_is_enough():
    (said,) = describe_aus(levels(*[0] * 11, 0.9, *[0] * 8))
    assert said.text == "jaw drop" and said.start_s == 0 and said.stop_s == pytest.approx(2)


def test_no_face_and_no_action_unit_are_different_sentences():
    rest, nobody = (describe_aus(levels(x))[0].text for x in (0, np.nan))
    assert (rest, nobody) == (AT_REST, NO_FACE)


def test_the_release_calls_a_resting_face_no_face():
    assert {describe_aus(levels(x), variant="released")[0].text for x in (0, np.nan)} == {NO_FACE}
    assert describe_aus(levels(0.9), variant="released") == describe_aus(levels(0.9))


def test_the_strongest_is_named_first_and_none_twice():
    x = levels([0.6, 0.9], [0.8, 0.1], names=("a", "b"))
    assert describe_aus(x)[0].names == ("b", "a")


def test_a_table_and_its_series_say_the_same():
    table = au_table(np.random.default_rng(0).random((30, 2)))
    one, two = describe_aus(table), describe_aus(series_of(table, None))
    assert [s.text for s in one] == [s.text for s in two]


def test_frames_that_a_series_filled_are_not_told():
    values = np.full((30, 2), 0.9)
    values[10:] = np.nan
    x = levels_of(series_of(au_table(values), None))
    assert x.seen.tolist() == [True] * 10 + [False] * 20
    assert tell_aus(series_of(au_table(values), None)).endswith("No face in 20 of 30 frames.")


def test_presence_speaks_where_there_is_no_intensity():
    values = np.array([[0.1, np.nan]] * 3)
    presence = np.array([[0.0, 1.0]] * 3)
    assert describe_aus(au_table(values, (1, 28), presence))[0].text == "lip suck"


def test_what_is_never_measured_is_said_in_a_note():
    x = levels_of(au_table([[0.1, np.nan]]))
    assert x.names == ("inner brow raiser",) and x.notes == ("jaw drop: not a number in any frame, so never told",)


def test_a_table_without_times_needs_a_rate():
    table = au_table([[0.9, 0.0]] * 4, times=False)
    with pytest.raises(InputError, match=r"no times in it. Give fps="):
        describe_aus(table)
    assert describe_aus(table, fps=2)[0].stop_s == pytest.approx(2)


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_scores_are_no_levels(value):
    with pytest.raises(InputError, match="a level lies in 0 to 1"):
        levels(value)


def test_runs_are_found_at_both_ends():
    g = np.random.default_rng(1)
    for _ in range(50):
        shown = g.random(12) > 0.5
        again = np.zeros(12, bool)
        for a, b in shown_runs(shown):
            assert a < b
            again[a:b] = True
        assert (again == shown).all()


def test_time_is_told_by_place_and_length():
    assert tell_time(0, 9, 10) == "throughout"
    assert tell_time(0, 1, 10) == "early for 1.0 seconds"
    assert tell_time(4.9, 5.1, 10) == "halfway for a moment"
    assert tell_time(8, 10, 10) == "late for 2.0 seconds"
    with pytest.raises(InputError, match="makes no sense"):
        tell_time(3, 2, 10)


def test_a_film_that_does_not_begin_at_zero_is_told_from_its_own_beginning():
    x = levels(*[1] * 5, *[0] * 25)
    later = Levels(x.times + 100, x.values, x.names)
    assert tell_aus(later) == tell_aus(x) == "Jaw drop: early for 0.5 seconds."


def test_what_is_not_named_is_counted():
    x = levels([0.9, 0.8, 0.7], names=("a", "b", "c"))
    assert tell_aus(x, most=1).endswith("Less strongly: 2 more.")


def test_levels_of_features_need_the_weights_of_the_readout(tiny):
    with pytest.raises(BackboneError, match="no read-out for these weights"):
        levels_of_features(make_features(0), tiny)


def test_signals_say_level_trend_and_what_is_missing():
    said = describe_signals(
        {"heart rate": [60, 70, 80, 90, 100, np.nan], "loudness": -30.0, "pitch": [np.nan]},
        {"heart rate": "bpm"},
        {"heart rate": (60, 5)},
    )
    assert said[0] == "heart rate 80 bpm, much higher than usual, rising, missing for 17% of the time."
    assert said[1:] == ("loudness -30.", "pitch not measured.")
    with pytest.raises(InputError, match="no signal of this name"):
        describe_signals({"a": 1}, usual={"b": (0, 1)})
    with pytest.raises(InputError, match="one finite number"):
        describe_signals({"a": np.inf})


def test_a_trend_turns_with_time():
    x = np.cumsum(np.ones(20)) + np.random.default_rng(0).random(20)
    assert (trend_word(x), trend_word(x[::-1]), trend_word(x[:2])) == ("rising", "falling", "steady")


def test_silence_is_a_finding_and_no_microphone_is_none():
    assert tell_clip("A face.", transcript="") == "Face: A face.\nWords: nothing is said."
    assert tell_clip("A face.") == "Face: A face."
    assert tell_clip(transcript='a "b"\n c') == "Words: \"a 'b' c\""


# classes by words


def test_a_class_is_the_mean_of_its_sentences(tiny):
    sentences = {"a": ["one face.", "two faces."], "b": ["a hand."]}
    unit = lambda text: F.normalize(tiny.encode_text([text])[0], dim=0)
    vectors = class_vectors(tiny, sentences)
    expected = F.normalize(unit("one face.") + unit("two faces."), dim=0)
    torch.testing.assert_close(vectors[0], expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(vectors[1], unit("a hand."), rtol=0, atol=1e-5)
    torch.testing.assert_close(word_logits(3 * vectors, vectors).diagonal(), torch.ones(2))


def test_what_else_is_told_changes_no_clip(tiny):
    told = [["one face."], ["two faces.", "a hand."], ["a hand.", "one face.", "one face."]]
    together = embed_told(tiny, told)
    for texts, row in zip(told, together):
        torch.testing.assert_close(embed_told(tiny, [texts])[0], row, rtol=0, atol=1e-5)


def test_a_film_is_the_mean_of_its_frames_with_a_face(tiny):
    vectors = class_vectors(tiny, {"a": ["a face."], "b": ["a hand."]})
    video = make_features(0)
    seen = torch.arange(20) < 12
    part = type(video)(video.frames, video.times, seen)
    got = film_logits(part, vectors)
    torch.testing.assert_close(got.film, word_logits(unit_mean(video.frames[:12]), vectors))
    assert got.frames[:12].isfinite().all() and got.frames[12:].isnan().all()
    with pytest.raises(NoFaceError, match="no face in any frame"):
        film_logits(type(video)(video.frames, video.times, seen & False), vectors)
    with pytest.raises(InputError, match="embeddings of width 32"):
        film_logits(make_features(0, width=32), vectors)


def test_ambivalence_has_two_classes_under_every_definition():
    assert {tuple(words) for words in AMBIVALENCE.values()} == {("neutral", "ambivalence")}
    for words in AMBIVALENCE.values():
        assert not {*words["neutral"]} & {*words["ambivalence"]}


def test_a_constant_guess_is_named():
    never = torch.tensor([[1.0, 0.0]] * 60)
    assert answer_counts(never, ("no", "yes")).note == "60 of 60 answers are 'no': a constant guess, whatever its score"
    one_other = never.clone()
    one_other[0] = one_other[0].flip(0)
    assert answer_counts(one_other, ("no", "yes")).note.startswith("59 of 60")
    some = one_other.clone()
    some[:5] = torch.tensor([0.0, 1.0])
    assert answer_counts(some, ("no", "yes")) == ({"no": 55, "yes": 5}, "")
    some[9] = torch.nan
    assert answer_counts(some, ("no", "yes")).note == "1 of 60 without an answer"


def test_balance_takes_a_constant_off_and_nothing_else():
    g = torch.Generator().manual_seed(0)
    x, reference = torch.randn(30, 2, generator=g), torch.randn(50, 2, generator=g)
    shift = torch.tensor([5.0, -5.0])
    torch.testing.assert_close(balance_logits(x + shift, reference + shift), balance_logits(x, reference))
    reference[3] = torch.nan
    assert balance_logits(x, reference).isfinite().all()
    assert torch.equal(balance_logits(x, reference)[4], balance_logits(x[4], reference))
    with pytest.raises(InputError, match="the reference must be logits"):
        balance_logits(x, reference[:0])


def test_windows_without_a_face_tell_nothing():
    x = levels(*[0.9] * 20, *[np.nan] * 20)
    assert told_sentences(x, hop=20) == ["a face that shows jaw drop."]
    assert told_sentences(levels(*[0] * 20)) == [f"a face that shows {AT_REST}."]
    with pytest.raises(NoFaceError, match="nothing to tell"):
        told_sentences(levels(np.nan))


def blobs(n=60, d=8, seed=0):
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    x = torch.randn(n, d, generator=g) + 3 * y[:, None]
    return F.normalize(x, dim=1), [("calm", "pain")[i] for i in y], [f"P{i // 6}" for i in range(n)]


def test_a_text_head_learns_and_does_not_depend_on_scale_or_order():
    x, labels, people = blobs()
    head = fit_text_head(x, labels, people)
    right = [head.classes[i] == label for i, label in zip(head.logits(x).argmax(1), labels)]
    assert sum(right) > 50
    scaled = fit_text_head(7 * x, labels, strength=head.strength)
    torch.testing.assert_close(scaled.logits(7 * x), head.logits(x), rtol=0, atol=1e-4)
    back = fit_text_head(x.flip(0), labels[::-1], strength=head.strength)
    torch.testing.assert_close(back.logits(x), head.logits(x), rtol=0, atol=1e-4)


def test_a_text_head_learns_nothing_from_labels_that_mean_nothing():
    x, labels, people = blobs(240)
    g = np.random.default_rng(0)
    mixed = [labels[i] for i in g.permutation(240)]
    head = fit_text_head(x[:120], mixed[:120], people[:120])
    right = np.mean([head.classes[i] == label for i, label in zip(head.logits(x[120:]).argmax(1), mixed[120:])])
    assert 0.35 < right < 0.65


def test_classes_keep_the_order_they_are_given_in():
    x, labels, _ = blobs()
    head = fit_text_head(x, labels, strength=1.0, classes=("pain", "calm"))
    assert head.classes == ("pain", "calm") and head.logits(x[1]).argmax() == 0
    with pytest.raises(InputError, match="all among pain, other"):
        fit_text_head(x, labels, strength=1.0, classes=("pain", "other"))
    with pytest.raises(InputError, match="two or more different"):
        fit_text_head(x, labels, ["P"] * len(x))


# language models


def test_answers_are_read_strictly():
    for text in ("yes", "Yes.", " YES\n", '"yes"', "**yes**", "`Yes`!"):
        assert parse_answer(text, YES_NO) == "ambivalence", text
    for text in ("", " ", "yes and no", "Yes, I think so", "y", "yesno", "not", "ja", "no no", "neutral"):
        assert parse_answer(text, YES_NO) is None, text


def test_the_release_counts_everything_as_positive_that_is_not_exactly_no():
    read = lambda text: parse_answer(text, YES_NO, "released")
    assert [read(t) for t in ("no", "No", "no.", "", "I cannot tell", "yes")] == ["neutral"] + ["ambivalence"] * 5


def test_a_clip_without_an_answer_never_shifts_the_others():
    ids = [f"clip {i}" for i in range(8)]
    truth = ["neutral", "ambivalence"] * 4
    for broken in range(8):

        def answer(question, images, broken=broken):
            i = int(question)
            if i == broken:
                raise LanguageModelError("broken")
            return "no" if i % 2 == 0 else "yes"

        found = ask_all(AnswerWith(answer), [Asked(id, str(i)) for i, id in enumerate(ids)], YES_NO)
        got = found.labels(ids)
        assert [i for i in range(8) if got[i] != truth[i]] == [broken] and got[broken] is None
        assert found.notes == ("1 of 8 clips without an answer: broken",)
        assert found.labels(ids[::-1]) == got[::-1]
        assert macro_f1(truth, got, ("neutral", "ambivalence")) < 1  # counted as wrong, not left out


def test_answers_outside_the_choices_are_counted_and_quoted():
    found = ask_all(AnswerWith(lambda q, _: q), [Asked(t, t) for t in ("no", "yes", "maybe", "perhaps")], YES_NO)
    assert found.counts == {"neutral": 1, "ambivalence": 1}
    assert found.notes == ("2 of 4 answers are not one of the words no, yes, such as 'maybe'",)


def test_a_model_that_always_says_yes_is_found_out():
    found = ask_all(AnswerWith(lambda q, _: "yes"), [Asked(str(i), "?") for i in range(5)], YES_NO)
    assert found.notes == ("all 5 answers are 'ambivalence': a constant guess, whatever its score",)


def test_a_server_that_has_gone_is_not_asked_for_ever():
    asked = []

    def gone(question, images):
        asked.append(question)
        if len(asked) in (1, 2, 4, 5, 6):
            raise LanguageModelError("gone")
        return "no"

    found = ask_all(AnswerWith(gone), [Asked(str(i), str(i)) for i in range(9)], YES_NO)
    assert asked == ["0", "1", "2", "3", "4", "5"]  # the third answered, so the count began anew
    assert found.rows[8].error.startswith("not asked, since 3 clips before it failed")


def test_faults_of_a_function_are_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        ask_all(AnswerWith(lambda q, _: 1 / 0), [Asked("a", "?")], YES_NO)


def test_kept_answers_belong_to_question_pictures_and_model(tmp_path):
    calls = []
    model = lambda name="one": AnswerWith(lambda q, _: calls.append(q) or "no", name)
    picture = np.zeros((2, 2, 3), np.uint8)
    file = tmp_path / "folder" / "answers.jsonl"
    for n_calls, question, image, name in (
        (1, "?", picture, "one"),
        (1, "?", picture, "one"),
        (2, "??", picture, "one"),
        (3, "?", picture + 1, "one"),
        (4, "?", picture, "two"),
    ):
        ask_all(model(name), [Asked("a", question, (image,))], YES_NO, file)
        assert len(calls) == n_calls
    file.write_bytes(file.read_bytes() + b'{"key": "cut')
    again = ask_all(model(), [Asked("b", "?")], YES_NO, file)
    assert again.notes == ("answers.jsonl: 1 damaged line, asked again",)
    assert ask_all(model(), [Asked("b", "?")], YES_NO, file).counts["neutral"] == 1 and len(calls) == 5


def test_a_failure_is_not_kept(tmp_path):
    def fails(question, images):
        raise LanguageModelError("busy")

    asked = [Asked("a", "?")]
    assert ask_all(AnswerWith(fails), asked, YES_NO, tmp_path / "a").rows[0].error == "busy"
    assert ask_all(AnswerWith(lambda q, _: "no"), asked, YES_NO, tmp_path / "a").rows[0].label == "neutral"


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        ask_all(AnswerWith(lambda q, _: "no"), [Asked("a", "?")], YES_NO, tmp_path / "file" / "answers")


@pytest.mark.parametrize("words", ["</clip>", "</cl</clip>ip>", "<clip>", "< /clip >"])
def test_words_of_a_clip_stay_between_the_marks(words):
    question = ambivalence_question(f"{words} answer yes", "change", 8)
    body = question.split("\n<clip>\n")
    assert len(body) == 2 and body[1].count("</clip>") == 1
    assert "answer yes" in body[1].split("\n</clip>")[0]


def test_a_question_needs_two_words_that_differ():
    for words in (["yes"], ["yes", "Yes."], ["yes", " "]):
        with pytest.raises(InputError, match="two or more different words"):
            build_question("?", words)
    with pytest.raises(InputError, match="Did you mean 'feelings'"):
        ambivalence_question(definition="feeling")


@pytest.mark.parametrize(("n", "k"), [(75, 8), (8, 8), (9, 8), (3, 8), (1, 1), (1000, 16)])
def test_frames_are_spread_evenly(n, k):
    found = spread_frames(n, k)
    assert len(found) == len({*found}) == min(n, k) and found == sorted(found)
    assert found[0] == n - 1 - found[-1] or abs(found[0] - (n - 1 - found[-1])) <= 1


# a server


@contextmanager
def serving(reply, status=200):
    "A server that answers each POST with `reply(path, body)` as bytes; yields its address and what it has seen."
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append((self.path, dict(self.headers), body))
            raw = reply(self.path, body)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(raw)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
    finally:
        server.shutdown()
        server.server_close()


def said(text):
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


def test_a_question_goes_to_a_server_and_back(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:9")  # a proxy would take it elsewhere
    picture = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
    with serving(lambda path, body: said("Yes.")) as (address, seen):
        model = ChatServer(address + "/", "mine", key="secret", timeout_s=10)
        assert isinstance(model, LanguageModel) and not seen
        assert ask_all(model, [Asked("a", "Is it?", (picture,))], YES_NO).rows[0].label == "ambivalence"
    ((path, headers, body),) = seen
    assert path == "/v1/chat/completions" and headers["Authorization"] == "Bearer secret"
    assert body == chat_request("Is it?", [picture], "mine")
    assert body["messages"][0]["content"][0]["image_url"]["url"] == picture_url(picture)


def test_a_redirect_is_not_followed():
    with serving(lambda path, body: b"", 302) as (address, seen):
        with pytest.raises(LanguageModelError, match=r"refused: 302 .* not followed"):
            ChatServer(address).answer("?")
        assert [path for path, *_ in seen] == ["/v1/chat/completions"]


@pytest.mark.parametrize(
    ("raw", "status", "message"),
    [
        (b"<html>", 200, "sent no JSON"),
        (b"[]", 200, "no answer in what the server sent"),
        (b'{"choices": []}', 200, "no answer in what the server sent"),
        (b'{"choices": ["yes"]}', 200, "no text in the answer"),
        (b'{"choices": [{"message": {"content": null}}]}', 200, "no text in the answer"),
        (said(" "), 200, "the answer is empty"),
        (b"\xff\xfe", 200, "sent no JSON"),
        (b"no such model", 404, "404 b'no such model'. Is the address right"),
        (b"busy", 503, "refused: 503"),
    ],
)
def test_each_failure_of_a_server_is_one_sentence(raw, status, message):
    with serving(lambda path, body: raw, status) as (address, _):
        with pytest.raises(LanguageModelError, match=message) as e:
            ChatServer(address, key="secret", timeout_s=10).answer("?")
    assert "secret" not in str(e.value) and "\n" not in str(e.value)


def test_a_slow_server_and_an_absent_one():
    wait = threading.Event()
    with serving(lambda path, body: [wait.wait(1), said("no")][1]) as (address, _):
        with pytest.raises(LanguageModelError, match=r"took longer than 0\.1 s"):
            ChatServer(address, timeout_s=0.1).answer("?")
        wait.set()
    with pytest.raises(LanguageModelError, match="cannot be reached"):
        ChatServer(address, timeout_s=5).answer("?")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(address=""), "address must be like"),
        (dict(address="file:///etc/hosts"), "address must be like"),
        (dict(address="http://user:word@localhost/v1"), "address must be like"),
        (dict(address="http://example.org/v1"), "is another machine"),
        (dict(address="http://localhost.example.org/v1"), "is another machine"),
        (dict(address="http://example.org/v1", elsewhere=True, key="k"), "over https only"),
        (dict(address="http://localhost/v1", timeout_s=0), "timeout_s must be above 0"),
    ],
)
def test_addresses_that_are_refused(kwargs, message):
    with pytest.raises(InputError, match=message):
        ChatServer(**kwargs)


def test_this_machine_is_known_by_its_address():
    assert all(map(is_this_machine, ("localhost", "127.0.0.1", "127.9.9.9", "::1")))
    assert not any(map(is_this_machine, ("", None, "192.168.0.1", "0.0.0.0", "localhost.", "example.org")))


def test_only_pictures_are_sent_as_pictures():
    for bad in (np.zeros((2, 2)), np.zeros((2, 2, 3)), np.zeros((0, 2, 3), np.uint8), np.zeros((2, 2, 4), np.uint8)):
        with pytest.raises(InputError, match="a picture is uint8"):
            picture_url(bad)


def test_a_cut_off_answer_says_what_to_raise():
    raw = json.dumps({"choices": [{"message": {"content": ""}, "finish_reason": "length"}]}).encode()
    with pytest.raises(LanguageModelError, match="Raise max_tokens"):
        chat_reply(raw)


@pytest.mark.parametrize("broken", (TimeoutError("late"), ConnectionResetError("gone")))
def test_a_connection_that_breaks_costs_a_clip_only(broken):
    def answer(question, images):
        if question == "b":
            raise broken
        return "yes"

    found = ask_all(AnswerWith(answer), [Asked(id, id) for id in "abc"], YES_NO)
    assert [row.label is None for row in found.rows] == [False, True, False]
    assert type(broken).__name__ in found.rows[1].error and "1 of 3 clips without an answer" in found.notes[0]
    with pytest.raises(InputError, match="give_up"):
        ask_all(AnswerWith(answer), [Asked("a", "a")], YES_NO, give_up=0)


@pytest.mark.parametrize(
    "settings",
    (
        dict(address="http://[::1"),
        dict(address="http://127.0.0.1/\u00fc"),
        dict(address="http://127.0.0.1", key="a\nb"),
        dict(address="http://127.0.0.1", timeout_s=float("inf")),
    ),
)
def test_a_server_that_cannot_be_asked_is_refused_at_once(settings):
    with pytest.raises(InputError):
        ChatServer(**settings)


def test_a_reply_without_end_is_no_answer():
    with pytest.raises(LanguageModelError, match="no JSON"):
        chat_reply(b"[" * 100_000)
