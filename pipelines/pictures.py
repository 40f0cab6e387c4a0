"""A sound as a picture: its waveform above its spectrogram, as a small PNG; a mask may lie over it.

The same samples give the same bytes. The spectrogram is magma, which keeps its order in greyscale
and for every kind of colour-blindness; around the waveform the picture is transparent, so that it
stands on a light page and on a dark one.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

VERSION = "1"  # raise it when the same sound would look otherwise
WIDTH, WAVE, SPECTRUM = 640, 46, 114  # pixels: the waveform stands above the spectrogram
TOP = 8_000.0  # Hz that are shown at most
RANGE = 70.0  # dB between the loudest and what is drawn black
WINDOW = 0.032  # s
LEVELS = 30  # shades: files are half as large as with 256, and no eye tells them apart here
CLEAR, LINE = 0, 1  # places in the palette; magma comes after them, in STEPS from colour to grey
STEPS = 5  # of a mask: what it keeps is in colour, what it removes grey
GREY = (125, 133, 143)  # of the waveform: seen on white and on black
GREYED = 0.8  # how bright grey is beside its colour
BLOCK = 64  # columns whose spectra are in memory together


@dataclass(frozen=True, eq=False)
class Mask:
    """What lies over a spectrogram: (frames, frequencies) from 0 (removed) to 1 (kept), frequencies
    up to half the `sample_rate` in Hz, the middle of frame n at `first` + n × `hop` seconds.
    """

    values: NDArray[np.floating]
    sample_rate: int
    first: float
    hop: float


def picture(signal: NDArray[np.floating], sample_rate: int, mask: Mask | None = None) -> bytes:
    """The PNG of a signal, (time,) at a rate in Hz: 640 × 160 pixels, drawn to its own peak.

    A silent or empty signal is a flat line over black. Where a mask lies over it, what it removes
    is drawn in grey.
    """
    from PIL import Image

    sound = np.nan_to_num(np.asarray(signal, dtype=np.float64))
    sound = sound if len(sound) else np.zeros(1)
    drawn = np.vstack([_wave(sound), _spectrum(sound, sample_rate)])
    if mask is not None:
        drawn[WAVE:] += LEVELS * _greyed(mask, len(sound) / sample_rate, sample_rate)
    image = Image.fromarray(drawn, mode="P")
    image.putpalette(_palette(1 if mask is None else STEPS))
    file = io.BytesIO()
    image.save(file, format="PNG", transparency=CLEAR, optimize=False, compress_level=6)
    return file.getvalue()


def _greyed(mask: Mask, seconds: float, sample_rate: int) -> NDArray[np.uint8]:
    """(SPECTRUM, WIDTH): how far from colour to grey each pixel is, in steps."""
    frames, bins = mask.values.shape
    times = (np.arange(WIDTH) + 0.5) * seconds / WIDTH
    columns = np.clip(np.round((times - mask.first) / mask.hop), 0, frames - 1).astype(int)
    hertz = (np.arange(SPECTRUM) + 0.5)[::-1] * highest(sample_rate) / SPECTRUM
    places = np.round(hertz * 2 * (bins - 1) / mask.sample_rate)
    rows = np.clip(places, 0, bins - 1).astype(int)
    values = mask.values[columns][:, rows].T
    return np.asarray(np.round((STEPS - 1) * (1 - values)), np.uint8)


def highest(sample_rate: int) -> float:
    """The frequency in Hz at the upper edge of a picture."""
    return min(sample_rate / 2, TOP)


def _wave(sound: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The least and the greatest sample of every column, as a band around the middle."""
    starts = np.arange(WIDTH) * len(sound) // WIDTH
    scale = np.abs(sound).max() or 1.0
    high = np.maximum.reduceat(sound, starts) / scale
    low = np.minimum.reduceat(sound, starts) / scale
    middle = (WAVE - 5) / 2  # four clear rows stand between waveform and spectrogram
    upper = np.round(middle * (1 - high)).astype(int)
    lower = np.round(middle * (1 - low)).astype(int)
    rows = np.arange(WAVE)[:, None]
    return np.where((rows >= upper) & (rows <= lower), LINE, CLEAR).astype(np.uint8)


def _spectrum(sound: NDArray[np.float64], sample_rate: int) -> NDArray[np.uint8]:
    size = 1 << max(round(WINDOW * sample_rate) - 1, 2 * SPECTRUM).bit_length()
    window = np.hanning(min(round(WINDOW * sample_rate), size))
    padded = np.concatenate([np.zeros(len(window) // 2), sound, np.zeros(len(window))])
    starts = ((np.arange(WIDTH) + 0.5) * len(sound) / WIDTH).astype(int)
    bins = int(size * highest(sample_rate) / sample_rate)
    rows = np.arange(SPECTRUM) * bins // SPECTRUM
    bands = np.empty((SPECTRUM, WIDTH))
    for at in range(0, WIDTH, BLOCK):
        frames = padded[starts[at : at + BLOCK, None] + np.arange(len(window))] * window
        power = np.abs(np.fft.rfft(frames, size)[:, :bins]) ** 2
        bands[:, at : at + BLOCK] = np.maximum.reduceat(power, rows, axis=1).T
    most = bands.max()
    decibels = 10 * np.log10(np.maximum(bands / most if most > 0 else bands, 1e-12))
    shade = np.clip(decibels / RANGE + 1, 0, 1) * (LEVELS - 1)
    return (np.round(shade)[::-1] + LINE + 1).astype(np.uint8)


@lru_cache(maxsize=2)
def _palette(steps: int) -> bytes:
    """Clear, the waveform's grey, then magma from black to its light end, `steps` times, the last
    one of them grey.
    """
    from matplotlib import colormaps

    magma = colormaps["magma"](np.linspace(0, 1, LEVELS))[:, :3]
    light = magma @ (0.299, 0.587, 0.114)  # as bright as the colour is
    grey = GREYED * np.repeat(light[:, None], 3, axis=1)
    shares = np.linspace(0, 1, max(steps, 2))[:steps, None, None]
    shades = (1 - shares) * magma + shares * grey
    coloured: NDArray[np.uint8] = np.round(255 * shades).astype(np.uint8)
    return bytes((0, 0, 0, *GREY)) + coloured.tobytes()
