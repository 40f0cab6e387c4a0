"""The classes of made sounds: what each draws, how it is said, and how it is computed.

All functions give (samples,) float64 of any level; what is random comes from the row's generator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipelines.recipes.noise import pink

Signal = np.ndarray
Bounds = tuple[float, float]
LOWER, UPPER = 0.3, 0.7  # shares of a range (in ratios) below and above which it is told


@dataclass(frozen=True)
class Drawn:
    """What a sound is made of: numbers by name, how many samples, Hz, and chance."""

    numbers: Mapping[str, float]
    samples: int
    sample_rate: int
    random: np.random.Generator

    def __getitem__(self, name: str) -> float:
        return self.numbers[name]

    @property
    def time(self) -> Signal:
        """Seconds of every sample."""
        return np.arange(self.samples) / self.sample_rate


@dataclass(frozen=True)
class Class:
    """A kind of sound: `words` for it, `ranges` of its numbers, how to `make` it.

    `countable`: it takes an article. `adjectives` are the words for the lower and the upper end of
    a number's range.
    """

    words: tuple[str, ...]
    ranges: Mapping[str, Bounds]
    make: Callable[[Drawn], Signal]
    countable: bool = True
    adjectives: Mapping[str, tuple[str, str]] = field(
        default_factory=lambda: {"hertz": ("low", "high"), "rate": ("slow", "fast")}
    )

    def told(self, name: str, value: float) -> str:
        """The adjective that a number deserves; "" in the middle of its range."""
        if name not in self.adjectives:
            return ""
        low, high = self.ranges[name]
        share = np.log(value / low) / np.log(high / low)
        lower, upper = self.adjectives[name]
        return lower if share < LOWER else upper if share > UPPER else ""


def sine(hertz: Signal | float, drawn: Drawn) -> Signal:
    """A sine whose frequency, Hz, may change from sample to sample."""
    cycles = np.cumsum(np.broadcast_to(hertz, drawn.samples)) / drawn.sample_rate
    return np.sin(2 * np.pi * cycles)


def harmonics(hertz: float, drawn: Drawn, *, count: int, fall: float = 1.0) -> Signal:
    """A tone with overtones, the n-th 1 / n^fall as strong; none beyond half the rate."""
    numbers = [n for n in range(1, count + 1) if n * hertz < 0.45 * drawn.sample_rate]
    phases = drawn.random.uniform(0, 2 * np.pi, len(numbers))
    total = np.zeros(drawn.samples)
    for n, phase in zip(numbers, phases, strict=True):
        total += np.sin(2 * np.pi * n * hertz * drawn.time + phase) / n**fall
    return total


def band(drawn: Drawn, low: float, high: float, *, samples: int | None = None) -> Signal:
    """White noise between two frequencies, Hz."""
    size = drawn.samples if samples is None else samples
    spectrum = np.fft.rfft(drawn.random.standard_normal(size))
    hertz = np.fft.rfftfreq(size, 1 / drawn.sample_rate)
    spectrum[(hertz < low) | (hertz > high)] = 0.0
    found: Signal = np.fft.irfft(spectrum, size)
    return found


def slowly(drawn: Drawn, hertz: float, floor: float = 0.05) -> Signal:
    """A random envelope, 0 to 1, that changes about so many times a second."""
    points = max(4, round(hertz * drawn.samples / drawn.sample_rate) + 2)
    values = drawn.random.uniform(floor, 1.0, points)
    return np.interp(np.linspace(0, points - 1, drawn.samples), np.arange(points), values)


def times(drawn: Drawn, rate: float, *, jitter: float = 0.0) -> list[int]:
    """Where events begin that come so many times a second: evenly, but for a share of jitter; by
    chance alone (Poisson) where it is 1.
    """
    seconds = drawn.samples / drawn.sample_rate
    if jitter >= 1.0:
        count = max(1, int(drawn.random.poisson(rate * seconds)))
        starts = np.sort(drawn.random.uniform(0, seconds, count))
    else:
        starts = np.arange(drawn.random.uniform(0, 0.5 / rate), seconds, 1 / rate)
        starts = starts + drawn.random.uniform(-jitter, jitter, starts.size) / rate
    return [round(max(start, 0.0) * drawn.sample_rate) for start in starts]


def events(drawn: Drawn, starts: Sequence[int], make: Callable[[], Signal]) -> Signal:
    """Copies of what `make` makes, each beginning at its sample, added up."""
    total = np.zeros(drawn.samples)
    for start in starts:
        part = make()[: max(drawn.samples - start, 0)]
        total[start : start + part.size] += part
    return total


def decaying(
    drawn: Drawn, seconds: float, partials: Sequence[tuple[float, float, float]]
) -> Signal:
    """Partials (Hz, amplitude, share of the decay) that die away, as of something struck."""
    size = max(8, round(3 * seconds * drawn.sample_rate))
    time = np.arange(size) / drawn.sample_rate
    total = np.zeros(size)
    for hertz, amplitude, share in partials:
        if hertz < 0.45 * drawn.sample_rate:
            total += (
                amplitude * np.sin(2 * np.pi * hertz * time) * np.exp(-time / (seconds * share))
            )
    return total


def burst(drawn: Drawn, seconds: float, low: float, high: float) -> Signal:
    """A short band of noise that dies away."""
    size = max(16, round(4 * seconds * drawn.sample_rate))
    fall = np.exp(-np.arange(size) / (seconds * drawn.sample_rate))
    return band(drawn, low, high, samples=size) * fall


def _swept(drawn: Drawn, start: float, end: float) -> Signal:
    return sine(start * (end / start) ** (np.arange(drawn.samples) / drawn.samples), drawn)


def _wave(drawn: Drawn, rate: float) -> Signal:
    """A slow sine, 0 to 1."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * rate * drawn.time)


def _siren(drawn: Drawn) -> Signal:
    hertz = drawn["hertz"] * 2 ** (_wave(drawn, drawn["rate"]))
    return sine(hertz, drawn) + 0.4 * sine(2 * hertz, drawn)


def _alarm(drawn: Drawn) -> Signal:
    high = np.floor(2 * drawn["rate"] * drawn.time) % 2
    found: Signal = np.sign(sine(drawn["hertz"] * np.where(high, 1.33, 1.0), drawn))
    return found


def _beeps(drawn: Drawn) -> Signal:
    on = (drawn["rate"] * drawn.time) % 1.0 < 0.35
    return sine(drawn["hertz"], drawn) * on


def _bell(drawn: Drawn) -> Signal:
    ratios = [(0.5, 0.6, 1.6), (1.0, 1.0, 1.0), (1.19, 0.7, 0.9), (1.5, 0.5, 0.7), (2.0, 0.6, 0.6),
              (2.74, 0.4, 0.4), (3.76, 0.3, 0.3)]  # fmt: skip
    partials = [(drawn["hertz"] * ratio, loud, share) for ratio, loud, share in ratios]
    return events(drawn, times(drawn, drawn["rate"]), lambda: decaying(drawn, 0.8, partials))


def _pluck(drawn: Drawn) -> Signal:
    """Karplus-Strong (1983): a burst of noise that goes round a delay line and loses its highs."""

    def string() -> Signal:
        hertz = drawn["hertz"] * 2 ** (drawn.random.integers(0, 5) / 6)
        line = drawn.random.uniform(-1, 1, max(8, round(drawn.sample_rate / hertz)))
        turns = []
        for _ in range(max(8, round(0.7 * hertz))):
            turns.append(line)
            line = 0.498 * (line + np.roll(line, 1))
        return np.concatenate(turns)

    return events(drawn, times(drawn, drawn["rate"], jitter=0.1), string)


def _rain(drawn: Drawn) -> Signal:
    drops = events(
        drawn, times(drawn, 150 * drawn["rate"], jitter=1), lambda: _drop(drawn, 0.002, 2_000)
    )
    return drops / max(float(np.std(drops)), 1e-9) + 0.9 * band(drawn, 800, 7_500) / 0.65


def _drop(drawn: Drawn, seconds: float, low: float) -> Signal:
    hertz = float(drawn.random.uniform(low, 3 * low))
    return decaying(drawn, seconds, [(hertz, float(drawn.random.uniform(0.2, 1)), 1.0)])


def _water(drawn: Drawn) -> Signal:
    """Drops into water: a bubble whose pitch rises as it dies away."""

    def bubble() -> Signal:
        size = round(0.12 * drawn.sample_rate)
        time = np.arange(size) / drawn.sample_rate
        hertz = drawn["hertz"] * drawn.random.uniform(0.8, 1.3) * (1 + 6 * time)
        found: Signal = np.sin(2 * np.pi * np.cumsum(hertz) / drawn.sample_rate)
        found *= np.exp(-time / 0.025)
        return found

    return events(drawn, times(drawn, drawn["rate"], jitter=0.35), bubble)


def _wind(drawn: Drawn) -> Signal:
    gusts: Signal = 0.6 * band(drawn, 300, 900) * slowly(drawn, 1.2)
    gusts += pink(drawn.samples, drawn.random) * slowly(drawn, 0.8)
    return gusts


def _sea(drawn: Drawn) -> Signal:
    surf: Signal = band(drawn, 100, 6_000) + pink(drawn.samples, drawn.random)
    surf *= _wave(drawn, drawn["rate"]) ** 2 + 0.05
    return surf


def _engine(drawn: Drawn) -> Signal:
    hertz = drawn["hertz"]
    rough = 1 + 0.3 * slowly(drawn, 20)
    beat = 0.6 + 0.4 * np.sin(2 * np.pi * hertz / 2 * drawn.time)
    return harmonics(hertz, drawn, count=30, fall=0.9) * beat * rough + 0.4 * band(drawn, 50, 1_200)


def _helicopter(drawn: Drawn) -> Signal:
    chop = ((drawn["rate"] * drawn.time) % 1.0) ** 3
    return band(drawn, 60, 1_500) * (0.1 + chop) + 0.3 * harmonics(drawn["rate"], drawn, count=12)


def _hum(drawn: Drawn) -> Signal:
    return harmonics(drawn["hertz"], drawn, count=6, fall=1.4)


def _crickets(drawn: Drawn) -> Signal:
    chirp = (drawn["rate"] * drawn.time) % 1.0 < 0.4
    pulses = 0.5 + 0.5 * np.sin(2 * np.pi * 40 * drawn.time)
    return sine(drawn["hertz"], drawn) * chirp * pulses


def _birds(drawn: Drawn) -> Signal:
    def chirp() -> Signal:
        size = round(drawn.random.uniform(0.05, 0.14) * drawn.sample_rate)
        shape = np.linspace(0, 1, size)
        hertz = drawn["hertz"] * (1 + drawn.random.uniform(-0.3, 0.4) * shape)
        hertz = hertz + 200 * np.sin(2 * np.pi * 30 * shape * size / drawn.sample_rate)
        return np.sin(2 * np.pi * np.cumsum(hertz) / drawn.sample_rate) * np.sin(np.pi * shape)

    return events(drawn, times(drawn, drawn["rate"], jitter=0.4), chirp)


def _thunder(drawn: Drawn) -> Signal:
    def roll() -> Signal:
        return burst(drawn, float(drawn.random.uniform(0.2, 0.9)), 25, 220)

    clap = events(drawn, times(drawn, 2.0, jitter=1), roll)
    return clap + 0.02 * pink(drawn.samples, drawn.random)


def _clock(drawn: Drawn) -> Signal:
    sharp = iter(range(10**6))

    def tick() -> Signal:
        hertz = 3_200 if next(sharp) % 2 else 2_500
        return decaying(drawn, 0.006, [(hertz, 1, 1), (1.7 * hertz, 0.6, 0.6)])

    return events(drawn, times(drawn, drawn["rate"]), tick)


def _knock(drawn: Drawn) -> Signal:
    def thump() -> Signal:
        hertz = drawn["hertz"]
        return decaying(drawn, 0.04, [(hertz, 1, 1), (2.3 * hertz, 0.4, 0.5)]) + 0.3 * _padded(
            burst(drawn, 0.01, 100, 2_500), round(0.12 * drawn.sample_rate)
        )

    starts = [
        start + round(n * 0.16 * drawn.sample_rate)
        for start in times(drawn, 0.8, jitter=0.2)
        for n in range(3)
    ]
    return events(drawn, [start for start in starts if start < drawn.samples], thump)


def _padded(signal: Signal, size: int) -> Signal:
    return np.pad(signal, (0, max(size - signal.size, 0)))[:size]


def _steps(drawn: Drawn) -> Signal:
    return events(
        drawn, times(drawn, drawn["rate"], jitter=0.06), lambda: burst(drawn, 0.03, 60, 900)
    )


def _heart(drawn: Drawn) -> Signal:
    second = round(0.28 / drawn["rate"] * drawn.sample_rate)
    starts = [at for start in times(drawn, drawn["rate"]) for at in (start, start + second)]
    thump = decaying(drawn, 0.05, [(55, 1, 1), (90, 0.5, 0.7)])
    return events(drawn, [start for start in starts if start < drawn.samples], lambda: thump)


def _clicks(drawn: Drawn) -> Signal:
    def click() -> Signal:
        return burst(drawn, 0.0012, 1_500, 7_500)

    return events(drawn, times(drawn, drawn["rate"], jitter=1), click)


def _vacuum(drawn: Drawn) -> Signal:
    return band(drawn, 200, 6_500) + 0.5 * harmonics(drawn["hertz"], drawn, count=12, fall=0.7)


def _tremolo(drawn: Drawn) -> Signal:
    return sine(drawn["hertz"], drawn) * (0.1 + _wave(drawn, drawn["rate"]))


def _vibrato(drawn: Drawn) -> Signal:
    hertz = drawn["hertz"] * (1 + 0.08 * np.sin(2 * np.pi * drawn["rate"] * drawn.time))
    return sine(hertz, drawn)


def _brown(drawn: Drawn) -> Signal:
    spectrum = np.fft.rfft(drawn.random.standard_normal(drawn.samples))
    hertz = np.fft.rfftfreq(drawn.samples, 1 / drawn.sample_rate)
    spectrum[1:] /= np.maximum(hertz[1:], 20.0)
    spectrum[0] = 0.0
    found: Signal = np.fft.irfft(spectrum, drawn.samples)
    return found


TONES: Bounds = (150.0, 3_000.0)  # Hz

CLASSES: dict[str, Class] = {
    "tone": Class(("steady tone", "pure tone", "beep that does not end"), {"hertz": TONES},
                  lambda d: sine(d["hertz"], d)),
    "rising_chirp": Class(("rising chirp", "tone sliding upwards", "rising sweep"),
                          {"start": (150.0, 600.0), "end": (1_500.0, 5_000.0)},
                          lambda d: _swept(d, d["start"], d["end"])),
    "falling_chirp": Class(("falling chirp", "tone sliding downwards", "falling sweep"),
                           {"start": (1_500.0, 5_000.0), "end": (150.0, 600.0)},
                           lambda d: _swept(d, d["start"], d["end"])),
    "tremolo": Class(("tone with tremolo", "throbbing tone", "pulsating tone"),
                     {"hertz": TONES, "rate": (3.0, 12.0)}, _tremolo),
    "vibrato": Class(("tone with vibrato", "wavering tone", "warbling tone"),
                     {"hertz": TONES, "rate": (3.0, 9.0)}, _vibrato),
    "white_noise": Class(("white noise", "hissing noise", "static"), {},
                         lambda d: d.random.standard_normal(d.samples), countable=False),
    "pink_noise": Class(("pink noise", "soft even noise"), {},
                        lambda d: pink(d.samples, d.random), countable=False),
    "brown_noise": Class(("brown noise", "deep rumbling noise"), {}, _brown, countable=False),
    "siren": Class(("siren", "siren wailing", "emergency siren"),
                   {"hertz": (400.0, 900.0), "rate": (0.25, 1.0)}, _siren),
    "clock_alarm": Class(("clock alarm", "alarm clock beeping", "electronic beeping"),
                         {"hertz": (800.0, 2_500.0), "rate": (2.0, 8.0)}, _beeps,
                         adjectives={"rate": ("slow", "fast")}),
    "two_tone_alarm": Class(("two-tone alarm", "alarm with two alternating tones"),
                            {"hertz": (500.0, 1_500.0), "rate": (0.7, 2.5)}, _alarm),
    "church_bells": Class(("church bell", "bell ringing", "bell being struck"),
                          {"hertz": (250.0, 1_200.0), "rate": (0.5, 1.6)}, _bell),
    "plucked_string": Class(("plucked string", "guitar string being plucked", "harp"),
                            {"hertz": (100.0, 500.0), "rate": (1.5, 4.0)}, _pluck),
    "rain": Class(("rain", "rain falling", "heavy rain on leaves"), {"rate": (0.6, 3.0)}, _rain,
                  countable=False, adjectives={}),
    "water_drops": Class(("water drops", "dripping water", "drops falling into water"),
                         {"hertz": (500.0, 1_400.0), "rate": (1.5, 6.0)}, _water,
                         countable=False, adjectives={"rate": ("slow", "fast")}),
    "wind": Class(("wind", "wind blowing", "gusts of wind"), {}, _wind, countable=False),
    "sea_waves": Class(("sea waves", "waves on a beach", "the surf of the sea"),
                       {"rate": (0.3, 0.7)}, _sea, countable=False, adjectives={}),
    "engine": Class(("engine", "engine running", "motor running"), {"hertz": (25.0, 90.0)}, _engine,
                    adjectives={"hertz": ("slow", "fast")}),
    "helicopter": Class(("helicopter", "helicopter flying", "chopping rotor"),
                        {"rate": (9.0, 16.0)}, _helicopter, adjectives={}),
    "vacuum_cleaner": Class(("vacuum cleaner", "vacuum cleaner running", "blowing fan"),
                            {"hertz": (90.0, 260.0)}, _vacuum, adjectives={}),
    "hum": Class(("electric hum", "mains hum", "humming transformer"), {"hertz": (48.0, 125.0)},
                 _hum, adjectives={}),
    "crickets": Class(("crickets", "crickets chirping", "insects at night"),
                      {"hertz": (3_500.0, 5_500.0), "rate": (1.5, 4.0)}, _crickets,
                      countable=False, adjectives={}),
    "chirping_birds": Class(("chirping birds", "birds singing", "bird song"),
                            {"hertz": (2_200.0, 4_200.0), "rate": (2.0, 6.0)}, _birds,
                            countable=False, adjectives={}),
    "thunderstorm": Class(("thunderstorm", "thunder", "thunder rolling"), {}, _thunder,
                          countable=False),
    "clock_tick": Class(("clock ticking", "ticking clock", "ticks of a clock"),
                        {"rate": (1.6, 5.0)}, _clock, countable=False),
    "door_wood_knock": Class(("knock on a door", "knocking on wood", "three knocks on a door"),
                             {"hertz": (90.0, 260.0)}, _knock, countable=False, adjectives={}),
    "footsteps": Class(("footsteps", "steps of somebody walking", "walking"), {"rate": (1.4, 3.0)},
                       _steps, countable=False),
    "heartbeat": Class(("heartbeat", "beating heart", "heart beating"), {"rate": (0.9, 2.2)},
                       _heart),
    "clicks": Class(("clicks", "random clicks", "geiger counter crackling"), {"rate": (4.0, 25.0)},
                    _clicks, countable=False, adjectives={}),
}  # fmt: skip
