"""Spectra in closed form."""

import numpy as np
import pytest

from benchmarks.exploring.spectrum import FLOOR, azimuthal_mean, frequencies, log_power, side_for


def grey(values):
    return np.repeat(values.astype(np.uint8)[:, :, None], 3, axis=2)


def test_a_wave_is_a_peak_at_its_frequency():
    side, x = 64, np.arange(64)
    found = log_power(grey(np.rint(127 + 100 * np.cos(2 * np.pi * 16 * x / side))[None].repeat(side, 0)), side)
    assert sorted(np.argwhere(found > found.max() - 1e-6).tolist()) == [[32, 16], [32, 48]]
    # a wave of amplitude a has (a/2)² (Σw)² / Σw² at its frequency; a Hann window has Σw = n²/4 and Σw² = (3n/8)²
    expected = (50 / 255) ** 2 * (side**2 / 4) ** 2 / (3 * side / 8) ** 2
    assert found.max() == pytest.approx(np.log10(expected + FLOOR), abs=1e-9)
    curve = azimuthal_mean(found)
    assert frequencies(side)[curve.argmax()] == pytest.approx(16 / 64, abs=1 / 64)


def test_white_noise_has_its_variance_at_every_frequency():
    rng = np.random.default_rng(0)
    curves = [azimuthal_mean(log_power(grey(rng.normal(128, 20, (128, 128)).round()), 128)) for _ in range(30)]
    # the power is exponentially distributed, and the mean of ln of such a number is -0.5772 (Euler)
    level = np.log10((20 / 255) ** 2) - 0.5772 / np.log(10)
    assert np.abs(np.mean(curves, axis=0)[3:] - level).max() < 0.06


def test_flat_and_small_images():
    assert np.allclose(log_power(np.full((20, 40, 3), 200, np.uint8), 16), np.log10(FLOOR))
    assert log_power(np.zeros((15, 40, 3), np.uint8), 16) is None
    assert len(frequencies(16)) == len(azimuthal_mean(np.zeros((16, 16)))) == 8
    assert frequencies(16)[-1] == 0.5


def test_the_side_fits_half_of_every_group():
    assert side_for({"real": np.array([512, 1024]), "a": np.array([64, 65, 300])}) == 64
    assert side_for({"real": np.array([512, 1024])}) == 256
    assert side_for({"real": np.array([3])}) == 16
    assert side_for({}) == 16
