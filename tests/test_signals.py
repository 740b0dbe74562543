"""Signals beside a film: repairs are counted, windows equal their definition; files, voices, rendered bodies."""

from dataclasses import replace

import av
import numpy as np
import pytest
import torch

from clip_autt.faces.body import (
    BODY_UNITS, Body, BodySettings, answered, bodies_of, body_signals, skin_response,
)  # fmt: skip
from clip_autt.faces.people import Subject
from clip_autt.faces.tasks import TARGET_DOMAIN
from clip_autt.features import LabeledVideo, VideoFeatures
from clip_autt.signals import (
    Signals, align_signals, film_notes, find_pauses, find_recordings, fit_scale, in_units, load_recordings,
    make_signals, personal_level, pitch, read_recording, read_signals, read_sound, read_voice, resample, scaled,
    span_statistics, times_in_seconds, unit_name, voice_pieces, voice_signals, voice_summary, window_signals,
    window_spans,
)  # fmt: skip
from clip_autt.utils.errors import InputError, VideoError

NAN = np.nan
FILM = np.arange(75) / 12.5  # s
RATE = 16_000  # sound samples a second


def ramp(rate=32.0, seconds=6.0, slope=0.5, start=2.0, name="eda", **more):
    "A signal that rises evenly."
    t = np.arange(round(rate * seconds)) / rate
    return make_signals(t, (start + slope * t)[:, None], [name], ["µS"], **more)


# --- the class, and what make_signals counts


@pytest.mark.parametrize(
    "times, values, names, message",
    [
        ([0, 1], np.zeros((3, 1)), ["a"], "values must be"),
        ([0, 1], np.zeros((2, 2)), ["a"], "values must be"),
        ([0, 1], np.zeros((2, 2)), ["a", "a"], "a name of its own"),
        ([1, 0], np.zeros((2, 1)), ["a"], "ascending"),
        ([0, 0], np.zeros((2, 1)), ["a"], "ascending"),
        ([0, NAN], np.zeros((2, 1)), ["a"], "finite"),
        ([0, 1], [[np.inf], [0]], ["a"], "infinite"),
        ([], np.zeros((0, 1)), ["a"], "no measurement"),
    ],
)
def test_the_class_refuses_what_is_no_recording(times, values, names, message):
    with pytest.raises(InputError, match=message):
        Signals(np.array(times, float), np.array(values, float), tuple(names), id="x")


@pytest.mark.parametrize(
    "times, values, kept, note",
    [
        ([0, 1, NAN, 3], [1, 2, 3, 4], [1, 2, 4], "rows without a time, left out: 1"),
        ([0, 1, 2, 3], [1, np.inf, -np.inf, 4], [1, NAN, NAN, 4], "infinite values, taken for missing: 2"),
        ([0, 2, 1, 3], [1, 3, 2, 4], [1, 2, 3, 4], "rows that stand after a later one, sorted by time: 1"),
        ([0, 1, 1, 2], [1, 2, 4, 5], [1, 3, 5], "rows that repeat a moment, of which the mean is taken: 1"),
        ([0, 1, 1, 2], [1, 2, NAN, 5], [1, 2, 5], "rows that repeat a moment, of which the mean is taken: 1"),
        ([0, 1, 2, 9], [1, 2, 3, 4], [1, 2, 3, 4], "gaps: 1, 7 s in all; the longest from 2.00 to 9.00 s"),
        ([0, 1, 2, 3], [1, NAN, 3, 4], [1, NAN, 3, 4], "a: 1 of 4 values are missing"),
        ([0, 1, 2, 3], [NAN] * 4, [NAN] * 4, "a: not one number"),
        (range(12), [7] * 12, [7] * 12, "a: 7 in all 12 rows. Was the sensor attached?"),
    ],
)
def test_every_repair_is_counted_and_nothing_is_filled_in(times, values, kept, note):
    out = make_signals(np.array(times, float), np.array(values, float), ["a"])
    np.testing.assert_array_equal(out.values[:, 0], np.array(kept, float))
    assert note in out.notes


def test_a_clean_recording_has_no_notes():
    assert ramp().notes == ()


def test_without_times_a_rate_is_needed():
    with pytest.raises(InputError, match="Give rate="):
        make_signals(None, np.ones((3, 1)), ["a"])
    assert make_signals(None, np.ones(3), ["a"], rate=2, start_s=-1).times.tolist() == [-1, -0.5, 0]
    with pytest.raises(InputError, match="2 times for 3 rows"):
        make_signals(np.arange(2), np.ones(3), ["a"])
    with pytest.raises(InputError, match="not one row has a time"):
        make_signals(np.full(3, NAN), np.ones(3), ["a"])


# --- units


@pytest.mark.parametrize(
    "written, name", [("uS", "µS"), ("μS", "µS"), ("µS", "µS"), (" bpm ", "/min"), ("kOhm", "kΩ"), ("parsec", "parsec")]
)
def test_units_have_one_spelling(written, name):
    assert unit_name(written) == name


@pytest.mark.parametrize(
    "x, old, new, y", [(5, "nS", "µS", 0.005), (2, "mV", "µV", 2000), (72, "bpm", "Hz", 1.2), (250, "kΩ", "µS", 4)]
)
def test_units_are_converted_and_back(x, old, new, y):
    one = Signals(np.zeros(1), np.array([[float(x)]]), ("a",), (old,))
    there = in_units(one, {"a": new})
    np.testing.assert_allclose(there.values, y)
    np.testing.assert_allclose(in_units(there, {"a": old}).values, x)


def test_what_has_no_factor_is_refused():
    one = Signals(np.zeros(1), np.ones((1, 2)), ("a", "b"), ("µS", ""))
    for wanted, message in [({"a": "mV"}, "cannot become mV"), ({"b": "mV"}, "is unknown"), ({"a": "ell"}, "no unit")]:
        with pytest.raises(InputError, match=message):
            in_units(one, wanted)


@pytest.mark.parametrize(
    "name, unit, x, said",
    [("eda", "µS", 5000, True), ("eda", "µS", 5, False), ("eda", "nS", 5000, False), ("heart rate", "/min", 1.2, True),
     ("heart rate", "/min", 70, False), ("ecg", "mV", 5000, False)],
)  # fmt: skip
def test_a_unit_that_no_body_has_is_said_and_not_mended(name, unit, x, said):
    values = x * (1 + 0.01 * np.arange(20))
    out = make_signals(np.arange(20.0), values, [name], [unit])
    assert any("Is the unit another" in note for note in out.notes) == said
    np.testing.assert_array_equal(out.values[:, 0], values)


# --- rates and the film


def test_slower_is_a_mean_and_faster_a_line_that_crosses_no_hole():
    noise = make_signals(None, np.random.default_rng(0).standard_normal(5000), ["a"], rate=500)
    slow = resample(noise, 10)
    assert len(slow) == 100
    np.testing.assert_allclose(slow.values[:, 0], noise.values.reshape(100, 50).mean(1), atol=1e-12)
    fast = resample(ramp(rate=4), 32)
    np.testing.assert_allclose(fast.column("eda"), 2 + 0.5 * fast.times, atol=1e-9)
    holed = replace(ramp(rate=4), values=np.where(np.arange(24)[:, None] == 10, NAN, ramp(rate=4).values))
    lost = np.isnan(resample(holed, 32).column("eda"))
    assert lost[(resample(holed, 32).times > 2.25) & (resample(holed, 32).times < 2.75)].all() and lost.sum() == 15
    assert resample(ramp(rate=32), 32) is not None and len(resample(ramp(rate=32), 32)) == 192


def test_a_recording_that_does_not_fit_the_film_is_said_or_refused():
    assert film_notes(ramp(), 0, 6) == ()
    assert film_notes(ramp(), -1, 6) == ("1.00 s at the beginning of the film are without a measurement",)
    assert film_notes(ramp(), 0, 9) == ("3.00 s at the end of the film are without a measurement",)
    for start, stop in [(6.1, 9), (-9, -1)]:
        with pytest.raises(InputError, match="They share no moment"):
            film_notes(ramp(id="c"), start, stop)


@pytest.mark.parametrize("rate", [512.0, 32.0, 12.5, 5.0, 2.0])
def test_the_rate_of_the_sensor_does_not_change_what_is_measured(rate):
    w = window_signals(ramp(rate, 8.0), FILM)
    assert w.known.all()
    middle = torch.as_tensor(2 + 0.5 * (FILM[:60] + 0.64), dtype=torch.float32)
    torch.testing.assert_close(w.values[:, 0, 0], middle, atol=0.25 / min(rate, 12.5) + 1e-5, rtol=0)
    torch.testing.assert_close(w.values[:, 0, 2], torch.full((60,), 0.5), atol=1e-3, rtol=0)
    assert any("brought from" in note for note in w.notes) == (rate < 12)


def definition(signals, spans, least=0.5):
    out = np.full((len(spans), len(signals.names), 3), NAN)
    for m, (start, stop) in enumerate(spans):
        inside = (signals.times >= start - 1e-6) & (signals.times < stop - 1e-6)
        for k in range(len(signals.names)):
            x, t = signals.values[inside, k], signals.times[inside]
            x, t = x[np.isfinite(x)], t[np.isfinite(x)]
            if len(x) >= max(2, least * (stop - start) / signals.step_s - 1e-6):
                out[m, k] = x.mean(), x.std(), np.polyfit(t - t.mean(), x, 1)[0]
    return out


@pytest.mark.parametrize("seed", range(4))
def test_windows_in_one_pass_equal_their_definition(seed):
    g = np.random.default_rng(seed)
    x = g.standard_normal((256, 3)) * (1, 50, 0.01) + (0, 1e4, 5)
    x[g.random(x.shape) < 0.5] = NAN
    s = make_signals(np.arange(256) / 32 + 1000 * seed, x, ["a", "b", "c"])
    spans = window_spans(FILM, 16) + 1000 * seed
    told, fast = definition(s, spans), span_statistics(s, spans)[0]
    assert np.isnan(told).any() and np.isfinite(told).any()
    np.testing.assert_allclose(fast, told, atol=1e-7, rtol=1e-6)


def test_each_signal_has_its_own_lag():
    s = make_signals(np.arange(0, 12, 0.02), np.arange(0, 12, 0.02)[:, None].repeat(2, 1), ["a", "b"])
    w = window_signals(s, FILM, lag_s=(3, 0))
    torch.testing.assert_close(w.values[:, 0, 0] - w.values[:, 1, 0], torch.full((60,), 3.0), atol=1e-3, rtol=0)


@pytest.mark.parametrize("rate", [512.0, 25.0, 12.5, 2.0])
def test_beside_each_frame_stands_what_was_measured_then(rate):
    s = ramp(rate, 9.0)
    beside = align_signals(s, FILM, lag_s=1)
    late = max(0, 0.04 - 0.5 / rate) if rate > 20 else 0  # the middle of the numbers of a frame
    torch.testing.assert_close(
        beside[:, 0], torch.as_tensor(2.5 + 0.5 * (FILM + late), dtype=torch.float32), atol=0.5 / 512, rtol=0
    )
    holed = replace(s, values=np.where(((s.times > 2) & (s.times < 5))[:, None], NAN, s.values))
    lost = align_signals(holed, FILM).isnan()[:, 0].numpy()
    assert lost[(FILM > 2.1) & (FILM < 4.8)].all() and not lost[(FILM < 1.9) | (FILM > 5.1)].any()
    with pytest.raises(InputError, match="share no moment"):
        align_signals(s, FILM + 60)


def test_a_window_with_too_little_is_not_known_and_is_counted():
    s = ramp()
    s = replace(s, values=np.where((s.times > 2)[:, None], NAN, s.values))
    w = window_signals(s, FILM)
    share = np.array(
        [((s.times >= a - 1e-6) & (s.times < b - 1e-6) & (s.times <= 2)).sum() / 40.96 for a, b in window_spans(FILM)]
    )
    np.testing.assert_array_equal(w.known[:, 0].numpy(), share >= 0.5)
    assert f"eda: not known in {int((share < 0.5).sum())} of 60 windows" in w.notes
    assert window_signals(s, FILM, least=0.1).known.sum() > w.known.sum()
    with pytest.raises(InputError, match="least must be"):
        window_signals(s, FILM, least=0)


def test_windows_of_any_film():
    assert len(window_signals(ramp(), FILM[:5])) == 1
    assert len(window_signals(ramp(), FILM, hop=8)) == 8
    for times in (FILM[::-1], np.zeros((2, 2)), np.array([])):
        with pytest.raises(InputError, match="ascending"):
            window_spans(times)
    with pytest.raises(InputError, match="window and hop"):
        window_spans(FILM, 0)


# --- scale and rest


def clip(level=0.0, seed=0, missing=False):
    g = np.random.default_rng(seed)
    x = g.standard_normal((192, 2)) + level
    x[:, 1] = NAN if missing else x[:, 1]
    return window_signals(make_signals(np.arange(192) / 32, x, ["a", "b"], id=f"c{seed}"), FILM, hop=10)


def test_what_is_missing_is_zero_and_says_so():
    scale = fit_scale([clip(seed=i) for i in range(4)])
    x, known = scaled(clip(seed=9, missing=True), scale)
    assert x.isfinite().all() and (x[:, 3:] == 0).all() and not (x[:, :3] == 0).all()
    assert known.tolist() == [[True, False]] * 6
    everywhere = torch.cat([scaled(clip(seed=i), scale)[0] for i in range(4)])
    torch.testing.assert_close(everywhere.mean(0), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(everywhere.std(0, correction=0), torch.ones(6), atol=1e-3, rtol=0)
    never = fit_scale([clip(missing=True)])
    assert never.mean[1].tolist() == [0, 0, 0] and never.deviation[1].tolist() == [1, 1, 1]


def test_an_own_level_takes_away_whose_body_it_is():
    scale = fit_scale([clip(seed=i) for i in range(4)])
    near, far = ([clip(level, seed=i) for i in range(5)] for level in (0, 40))
    a, b = (scaled(own[0], scale, personal_level(own))[0] for own in (near, far))
    torch.testing.assert_close(a, b, atol=1e-3, rtol=0)
    assert (scaled(far[0], scale)[0] - scaled(near[0], scale)[0]).abs().max() > 10
    first = personal_level(far[:1], scale.mean, worth=3)
    assert abs(float(first[0, 0]) - 10) < 1  # a quarter of the way
    assert torch.equal(personal_level([clip(missing=True)], scale.mean, worth=3)[1], scale.mean[1])
    with pytest.raises(InputError, match="worth must be"):
        personal_level(near, scale.mean, -1)
    with pytest.raises(InputError, match="different signals"):
        fit_scale([clip(), window_signals(ramp(), FILM)])


# --- files


def biovid(folder, clip="071309_w_21-PA4-003", n=256, part="PartA/biosignals_filtered", start=7_000_000):
    path = folder / part / clip.rsplit("-", 2)[0] / f"{clip}_bio.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{start + 1953 * i}\t{3 + i / n:.3f}\t{i % 7}\t{i % 2}\t{i % 3}\t{i % 5}" for i in range(n)]
    path.write_text("\n".join(["time\tgsr\tecg\temg_trapezius\temg_corrugator\temg_zygomaticus", *rows]) + "\n")
    return path


def test_biovid_is_read_in_microseconds_on_the_clock_of_its_clip(tmp_path):
    s = read_recording(biovid(tmp_path), "biovid", units={"eda": "uS"})
    assert s.names == ("eda", "ecg", "emg trapezius", "emg corrugator", "emg zygomaticus")
    assert (s.id, s.units[:2], s.notes) == ("071309_w_21-PA4-003", ("µS", ""), ())
    assert s.times[0] == 0 and 1 / s.step_s == pytest.approx(512, rel=1e-3)


def test_stressid_is_read_at_500_a_second(tmp_path):
    path = tmp_path / "Physiological/kycf/kycf_Math.txt"
    path.parent.mkdir(parents=True)
    path.write_text("ECG,EDA,RR\n" + "".join(f"{i % 9},{5 + i / 100},{i % 4}\n" for i in range(1000)))
    found, notes = load_recordings(tmp_path, ["kycf_Math", "kycf_Relax"], "stressid")
    s = found["kycf_Math"]
    assert s.names == ("ecg", "eda", "respiration") and s.subject == "kycf"
    assert s.step_s == pytest.approx(0.002) and len(s) == 1000
    assert notes == ("clips without a recording: 1 of 2, kycf_Relax",)


def test_filtered_recordings_come_first_and_lost_ones_are_named(tmp_path):
    biovid(tmp_path, part="PartA/biosignals_raw")
    filtered = biovid(tmp_path, part="PartA/biosignals_filtered")
    found, notes = find_recordings(tmp_path, ["071309_w_21-PA4-003", "071309_w_21-BL1-081"], "biovid")
    assert found == {"071309_w_21-PA4-003": filtered}
    assert notes == ("clips without a recording: 1 of 2, 071309_w_21-BL1-081",)
    with pytest.raises(InputError, match="not one of 1 clips"):
        find_recordings(tmp_path, ["a_w_1-BL1-001"], "biovid")
    with pytest.raises(InputError, match="no such folder"):
        find_recordings(tmp_path / "no", ["a"], "biovid")
    with pytest.raises(InputError, match="Did you mean 'stressid'"):
        read_recording(filtered, "stresid")


def test_any_table_with_times_or_a_rate(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("time_ms;EDA;HR\n0;4,1;71\n250;4,2;\n500;4,4;NaN\n")
    s = read_signals(path, {"EDA": "eda"}, units={"eda": "µS"}, start_s=-1)
    np.testing.assert_allclose(s.times, [-1, -0.75, -0.5])
    np.testing.assert_allclose(s.values[:, 0], [4.1, 4.2, 4.4])
    assert any("comma" in note for note in s.notes)
    assert "HR: 2 of 3 values are missing" in read_signals(path).notes
    path.write_text("a\n1\n2\n")
    assert read_signals(path, rate=10).times.tolist() == [0, 0.1]


@pytest.mark.parametrize(
    "text, more, message",
    [
        ("time,a\n0,1\n1,x\n", {}, "line 3: a is 'x', not a number"),
        ("time,a\n0,1\nx,2\n", {}, "line 3: time is 'x', not a number"),
        ("a,b\n0,1\n1,2\n", {}, "give rate="),
        ("time,a\n0,1\n1,2\n", dict(rate=4), "Leave rate out"),
        ("time,a\n0,1\n1,2\n", dict(columns=["A1"]), "no column 'A1'"),
        ("time,a\n0,1\n1,2\n", dict(time="clock"), "no column 'clock'"),
        ("time,a\n0,1\n1,2\n", dict(units={"b": "mV"}), "a unit for b"),
        ("time,a\n0,1\n1,2\n", dict(time_unit="weeks"), "unknown unit of time"),
        ("time,a\n", {}, "a header and no rows"),
        ("time,a,a\n0,1,2\n1,2,3\n", {}, "column a twice"),
        ("time\n0\n1\n", {}, "no column beside the times"),
        ("time,a\n0,1\n0.00001,2\n0.00002,2\n", {}, "a rate of no sensor"),
    ],
)
def test_a_bad_table_says_what_is_wrong(tmp_path, text, more, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_signals(path, **more)


@pytest.mark.parametrize(
    "step, unit, note",
    [(0.002, "seconds", False), (0.25, "seconds", False), (1953, "microseconds", True), (2, "seconds", True),
     (250, "milliseconds", True), (20, "milliseconds", True)],
)  # fmt: skip
def test_the_unit_of_times_follows_from_the_rate_and_is_said(step, unit, note):
    size = {"seconds": 1, "milliseconds": 1e-3, "microseconds": 1e-6}[unit]
    times, said = times_in_seconds(np.arange(5) * step)
    np.testing.assert_allclose(times, np.arange(5) * step * size)
    assert bool(said) == note and (not note or unit in said)


# --- voice


def vowel(hertz, seconds, rate=RATE):
    t = np.arange(round(seconds * rate)) / rate
    return 0.3 * np.hanning(len(t)) ** 0.3 * sum(np.sin(2 * np.pi * k * hertz * t + k) / k for k in range(1, 7))


def hush(seconds):
    return 0.001 * np.random.default_rng(1).standard_normal(round(seconds * RATE))


SAID = np.concatenate([hush(0.5), vowel(120, 0.4), hush(0.2), vowel(130, 0.4), hush(0.8), vowel(110, 0.4), hush(0.5)])


@pytest.mark.parametrize("hertz", [65, 97.3, 150, 211, 333, 390])
def test_pitch_is_heard_without_octave_errors(hertz):
    t = np.arange(RATE) / RATE
    heard = pitch(voice_pieces(sum(np.sin(2 * np.pi * k * hertz * t + k) / k for k in range(1, 7)), RATE), RATE)
    assert np.abs(heard / hertz - 1).max() < 0.015
    assert np.abs(pitch(voice_pieces(np.sin(2 * np.pi * hertz * t), RATE), RATE) / hertz - 1).max() < 0.015


def test_pauses_lie_between_words_only():
    voice = voice_signals(SAID, RATE)
    np.testing.assert_allclose(find_pauses(voice), [[1.5, 2.3]], atol=0.06)
    assert len(find_pauses(voice, 0.1)) == 2 and len(find_pauses(voice, 1)) == 0
    assert voice_summary(voice)["pitch_hz"] == pytest.approx(120, abs=3)
    quieter = voice_summary(voice_signals(SAID / 10, RATE))
    assert quieter["loudness_db"] == pytest.approx(voice_summary(voice)["loudness_db"] - 20, abs=1)
    assert len(find_pauses(voice_signals(np.zeros(RATE), RATE))) == 0


def test_sounds_that_cannot_be_judged_say_so():
    assert voice_signals(np.zeros(RATE), RATE).notes == ("the sound is silent throughout: -120 dB",)
    noise = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    assert "speech cannot be told from noise" in voice_signals(noise, RATE).notes[0]
    torn = np.where(np.arange(len(SAID)) < 8000, NAN, SAID)
    voice = voice_signals(torn, RATE)
    assert voice.notes[0].startswith("holes in the sound: 25 of") and np.isnan(voice.values[:25]).all()
    assert len(voice_signals(np.zeros(10), RATE)) == 1
    with pytest.raises(InputError, match="one channel"):
        voice_signals(np.zeros((2, 10)), RATE)


def film(path, sound=None, pictures=60, delay_s=0.0):
    with av.open(str(path), "w") as out:
        track = out.add_stream("aac", rate=RATE, layout="mono") if sound is not None else None
        video = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        for i in range(pictures):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 128, np.uint8), format="rgb24")
            frame.pts = i
            out.mux(video.encode(frame))
        out.mux(video.encode())
        for i in range(0, 0 if track is None else len(sound), 1024):
            frame = av.AudioFrame.from_ndarray(sound[None, i : i + 1024].astype(np.float32), "fltp", "mono")
            frame.rate, frame.pts = RATE, i + round(delay_s * RATE)
            out.mux(track.encode(frame))
        if track is not None:
            out.mux(track.encode())
    return path


def test_the_voice_of_a_film_is_on_the_clock_of_its_pictures(tmp_path):
    heard = read_voice(film(tmp_path / "a.mp4", SAID), "P1")
    assert (heard.id, heard.subject, heard.notes) == ("a", "P1", ())
    np.testing.assert_allclose(find_pauses(heard), [[1.5, 2.3]], atol=0.06)
    late = read_voice(film(tmp_path / "late.mp4", SAID, delay_s=1.5))
    np.testing.assert_allclose(find_pauses(late), [[3.0, 3.8]], atol=0.06)
    assert "after the first picture" in late.notes[0]


def test_a_film_without_sound_and_no_film_at_all(tmp_path):
    with pytest.raises(VideoError, match="no sound in this file"):
        read_voice(film(tmp_path / "mute.mp4"))
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(VideoError, match="cannot be read"):
        read_voice(tmp_path / "text.mp4")
    with pytest.raises(VideoError, match="cannot be read"):
        read_voice(tmp_path / "nothing.mp4")


# --- rendered bodies

QUIET = BodySettings(noise=0, missing=0)


def test_the_skin_answers_late_and_responses_add_up():
    t = np.arange(0, 20, 0.01)
    assert (skin_response(t[t < 1.5]) == 0).all() and skin_response(t).max() == pytest.approx(1, abs=1e-3)
    drive = np.zeros(2000)
    drive[[0, 500]] = 1, 2
    np.testing.assert_allclose(answered(drive, 100), skin_response(t) + 2 * skin_response(t - 5), atol=1e-12)


def test_the_same_arguments_give_the_same_body():
    who = Subject.sample(7)
    a, b, c = (body_signals("pain", who, "pain", seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.values, b.values)
    assert a.values.shape == c.values.shape and not np.array_equal(a.values, c.values, equal_nan=True)
    assert (a.names, a.id, a.subject) == (tuple(BODY_UNITS), "pain-s7-1", "s7")
    assert Body.sample(7) == Body.sample(7) != Body.sample(8) and Body.sample(7, 0) == Body.sample(8, 0) == Body()


@pytest.mark.parametrize("task, label", [("pain", "pain"), ("stress", "stress"), ("ambivalence", "ambivalence")])
def test_without_coupling_skin_and_heart_know_nothing(task, label):
    who, deaf = Subject.sample(11), BodySettings(coupling=0, missing=0)
    calm, stirred = (body_signals(task, who, kind, 5, deaf) for kind in ("neutral", label))
    for name in ("eda", "heart rate"):
        np.testing.assert_array_equal(calm.column(name), stirred.column(name))
    coupled = body_signals(task, who, label, 5, replace(deaf, coupling=1))
    assert not np.array_equal(coupled.column("heart rate"), stirred.column("heart rate"))


def test_pain_is_seen_in_the_skin_after_the_face():
    rises = {"neutral": [], "pain": []}
    for who in range(20):
        for label, found in rises.items():
            s = body_signals("pain", Subject.sample(who), label, 0, QUIET)
            found.append(s.column("eda")[-32:].mean() - s.column("eda")[:32].mean())
            before = s.column("eda")[s.times < -0.3 + 1.5]
            assert np.ptp(before) < 0.2 * Body.sample(who).response_us + 1e-9
    assert np.mean(rises["pain"]) > 2 * np.mean(rises["neutral"])


def test_sensors_fail_as_often_as_the_dial_says():
    lost = {}
    for missing in (0, 1, 10):
        s = [body_signals("stress", Subject.sample(i), "stress", 0, BodySettings(missing=missing)) for i in range(15)]
        lost[missing] = np.isnan(np.concatenate([x.values for x in s])).mean()
    assert lost[0] == 0 < lost[1] < 0.2 < lost[10]
    with pytest.raises(InputError, match="missing=-1"):
        BodySettings(missing=-1)


def test_the_body_belongs_to_the_film():
    def video(id):
        return LabeledVideo(VideoFeatures(torch.zeros(2, 3), torch.arange(2.0), torch.ones(2) > 0, id), "pain")

    one = bodies_of([video("pain-s7-1")], TARGET_DOMAIN)[0]
    other = body_signals("pain", Subject.sample(7, TARGET_DOMAIN), "pain", 1)
    np.testing.assert_array_equal(one.values, other.values)
    with pytest.raises(InputError, match="not the name of a clip"):
        bodies_of([video("me.mp4")])


def test_a_damaged_track_goes_on_after_the_damage(tmp_path):
    file = tmp_path / "speech.mp4"
    with av.open(str(file), "w") as out:
        track = out.add_stream("aac", rate=16000, layout="mono")
        for i in range(100):
            wave = (8000 * np.sin(2 * np.pi * 150 * (np.arange(1600) + 1600 * i) / 16000)).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
            frame.rate, frame.pts = 16000, 1600 * i
            out.mux(track.encode(frame))
        out.mux(track.encode())
    data = bytearray(file.read_bytes())
    at = data.find(b"mdat") + len(data) // 3
    data[at : at + 1500] = np.random.default_rng(1).bytes(1500)
    file.write_bytes(data)
    voice = read_voice(file)
    assert voice.times[-1] > 9.5 and any("damaged pieces of the sound, left out" in note for note in voice.notes)
    with pytest.raises(InputError, match="got -5"):
        read_sound(file, -5)


def test_tables_without_names_and_clocks_that_jump(tmp_path):
    file = tmp_path / "eda.csv"
    file.write_text("0.0,1.5\n0.1,1.6\n")
    with pytest.raises(InputError, match="first line holds numbers"):
        read_signals(file, rate=10)
    file.write_text("time,eda,\n0.0,1.5,7\n0.1,1.6,7\n0.2,1.6,7\n1e10,1.6,7\n")
    signals = read_signals(file, "eda")
    assert "a column without a name, left out" in signals.notes
    with pytest.raises(InputError, match="100 million rows"):
        resample(signals, 25)
    with pytest.raises(InputError, match="start_s"):
        read_signals(file, start_s=np.nan)


def test_a_single_measurement_says_what_it_has_to_say_once():
    once = Signals(np.array([0.5]), np.array([[1.0]]), ("eda",), notes=("read from a photo",))
    notes = window_signals(once, np.arange(20) / 12.5).notes
    assert notes.count("read from a photo") == 1 and any("not known in 5 of 5" in note for note in notes)
