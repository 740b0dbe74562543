"""The moving portrait: always the same pixels, and movement only where a face moves."""

import numpy as np
import pytest

from clip_autt import moving_portrait
from clip_autt.utils.errors import InputError
from clip_autt.faces.portraits import portrait, pulse


def test_the_same_arguments_give_the_same_pixels():
    a, b, c = moving_portrait(1, 5, 64), moving_portrait(1, 5, 64), moving_portrait(1, 5, 64, seed=1)
    np.testing.assert_array_equal(a.frames, b.frames)
    assert (a.frames != c.frames).any(), "the seed changes the noise of the camera"


@pytest.mark.parametrize("seconds, fps, n", [(3, 25, 75), (1, 12.5, 12), (0.01, 25, 1)])
def test_length_and_times(seconds, fps, n):
    clip = moving_portrait(seconds, fps, size=32)
    assert clip.frames.shape == (n, 32, 32, 3)
    np.testing.assert_allclose(clip.times, np.arange(n) / fps)


def test_it_begins_and_ends_neutral_and_moves_between():
    clip, still = moving_portrait(3, 25, 128), portrait(128).astype(float)
    change = np.array([np.abs(f - still)[45:105, 35:95].mean() for f in clip.frames])
    noise = change[0]
    assert change[-1] < 1.2 * noise and change[37] > 2 * noise


def test_the_background_stays_still():
    clip, still = moving_portrait(3, 5, 128), portrait(128).astype(float)
    assert all(np.abs(f - still)[:20].mean() < 1.5 for f in clip.frames)


def test_the_eyes_close_in_a_blink_and_open_again():
    "Pupils are the darkest part of the eyes; under the lid they are gone."
    eye = moving_portrait(3, 25, 256).frames[:, 122:138, 90:112].astype(float).mean(-1)
    dark = (eye < 70).mean((1, 2))
    blink = dark[3:10].min()
    assert blink < 0.6 * dark[0] and dark[14] > 0.8 * dark[0]


def test_pulse_rises_and_falls_softly():
    t = np.linspace(0, 1, 101)
    p = pulse(t, 0.2, 0.8)
    assert p.min() == 0 and p.max() == pytest.approx(1) and p[0] == p[-1] == 0 and p[50] == pytest.approx(1)
    assert np.abs(np.diff(p)).max() < 0.1


@pytest.mark.parametrize("bad", [dict(seconds=0), dict(fps=-1), dict(size=8)])
def test_bad_arguments(bad):
    with pytest.raises(InputError, match="above 0"):
        moving_portrait(**bad)
