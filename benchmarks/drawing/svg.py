"""Small plots as SVG text, for pages without scripts; colours come from the page's style."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, isfinite, log10

from markupsafe import Markup, escape

Points = Sequence[tuple[float, float]]


def round_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most ``most`` round values from low to high; steps are 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    power = 10.0 ** floor(log10((high - low) / most))
    step = next(s * power for s in (1, 2, 5, 10) if (high - low) / (s * power) <= most)
    return [k * step for k in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def short(value: float) -> str:
    """A number in few characters: ``0.25``, ``512``, ``12k``."""
    if value == 0:
        return "0"
    if abs(value) >= 10_000:
        return f"{value / 1000:.4g}k"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


@dataclass
class Plot:
    """A plot of given ranges; nothing is clipped, so the ranges must contain everything that is added."""

    title: str  # says what is shown, for screen readers
    x: tuple[float, float]  # lowest and highest value
    y: tuple[float, float]  # lowest and highest value
    width: int = 340  # pixels of the drawing
    height: int = 200  # pixels of the drawing
    x_title: str = ""  # below the axis
    y_title: str = ""  # beside the axis
    x_ticks: Sequence[float] | None = None  # values that are marked; round ones by default
    y_ticks: Sequence[float] | None = None  # values that are marked; round ones by default
    label: Callable[[float], str] = short  # text of a value on the x axis
    _parts: list[str] = field(default_factory=list)

    @property
    def _box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of the axes."""
        return 40, 8, self.width - 10, self.height - (34 if self.x_title else 20)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Place of a value in the drawing."""
        left, top, right, bottom = self._box
        across = (x - self.x[0]) / ((self.x[1] - self.x[0]) or 1)
        up = (y - self.y[0]) / ((self.y[1] - self.y[0]) or 1)
        return left + across * (right - left), bottom - up * (bottom - top)

    def line(self, points: Points, kind: str) -> None:
        """A line through the finite points, with the class ``kind``."""
        places = [self.at(x, y) for x, y in points if isfinite(x) and isfinite(y)]
        if places:
            path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
            self._parts.append(f'<path class="{kind}" d="M{path}"/>')

    def band(self, lows: Points, highs: Points, kind: str) -> None:
        """The area between two lines."""
        places = [self.at(x, y) for x, y in [*lows, *reversed(highs)]]
        if places:
            path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
            self._parts.append(f'<path class="{kind}" d="M{path}Z"/>')

    def bar(self, x: tuple[float, float], y: tuple[float, float], kind: str, text: str = "") -> None:
        """A rectangle between values, with ``text`` as its tooltip."""
        (left, top), (right, bottom) = self.at(x[0], y[1]), self.at(x[1], y[0])
        note = f"<title>{escape(text)}</title>" if text else ""
        self._parts.append(
            f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{max(right - left, 0.5):.1f}" '
            f'height="{max(bottom - top, 0):.1f}">{note}</rect>'
        )

    def point(self, x: float, y: float, kind: str, text: str = "", under: str = "") -> None:
        """A dot with a text beside it, on the side with more space, and ``under`` as its tooltip."""
        across, down = self.at(x, y)
        left = across > self.width / 2
        note = f"<title>{escape(under)}</title>" if under else ""
        self._parts.append(f'<circle class="{kind}" cx="{across:.1f}" cy="{down:.1f}" r="4">{note}</circle>')
        if text:
            self._parts.append(
                f'<text x="{across + (-8 if left else 8):.1f}" y="{down + 4:.1f}" '
                f'text-anchor="{"end" if left else "start"}">{escape(text)}</text>'
            )

    def svg(self) -> Markup:
        """The drawing."""
        left, top, right, bottom = self._box
        grid, texts = [], []
        for value in self.x_ticks if self.x_ticks is not None else round_ticks(*self.x):
            x = self.at(value, 0)[0]
            grid.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>')
            texts.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{escape(self.label(value))}</text>')
        for value in self.y_ticks if self.y_ticks is not None else round_ticks(*self.y, 4):
            y = self.at(0, value)[1]
            grid.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            texts.append(f'<text x="{left - 5}" y="{y + 4:.1f}" text-anchor="end">{escape(short(value))}</text>')
        if self.x_title:
            texts.append(
                f'<text x="{(left + right) / 2}" y="{self.height - 4}" text-anchor="middle">'
                f"{escape(self.x_title)}</text>"
            )
        if self.y_title:
            texts.append(
                f'<text transform="translate(10 {(top + bottom) / 2}) rotate(-90)" text-anchor="middle">'
                f"{escape(self.y_title)}</text>"
            )
        return Markup(  # noqa: S704  numbers, classes from our own code, and escaped texts
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(self.title)}">'
            f"{''.join(grid)}{''.join(self._parts)}"
            f'<path class="frame" d="M{left} {top}V{bottom}H{right}"/>{"".join(texts)}</svg>'
        )
