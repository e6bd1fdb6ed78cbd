"""Bars on a logarithmic scale: as SVG that reads on light and dark pages, and as PNG for where SVG is not shown."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

_WIDTH, _ROW, _RIGHT, _TOP = 760, 30, 110, 48
_CHARACTER = 7
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f; }
  .title { font-size: 15px; font-weight: 600; }
  .grid { stroke: #d0d7de; }
  .bar { fill: #4477aa; }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3; } .grid { stroke: #30363d; } .bar { fill: #77aadd; } }
"""
_INK, _GRID, _BAR, _PAPER = "#24292f", "#d0d7de", "#4477aa", "#ffffff"
# Pixels of the PNG for one of the SVG.
_SCALE = 2


@dataclass(frozen=True, slots=True)
class Chart:
    """Horizontal bars.

    Attributes:
        values: names and values greater than 0.
        unit: of the values, and of the scale.
    """

    title: str
    values: Sequence[tuple[str, float]]
    unit: str

    def write(self, path: Path) -> None:
        """Write `path` with the endings .svg and .png."""
        path.with_suffix(".svg").write_text(self.svg())
        path.with_suffix(".png").write_bytes(self.png())

    def svg(self) -> str:
        """One SVG document."""
        height = self._height
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
            f"<title>{escape(self.title)}</title><style>{_STYLE}</style>",
            f'<text class="title" x="12" y="24">{escape(self.title)}</text>',
        ]
        for power in self._powers:
            at = self._x(10**power)
            parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP - 8}" y2="{height - 26}"/>')
            parts.append(f'<text x="{at:.1f}" y="{height - 8}" text-anchor="middle">{self._grid_text(power)}</text>')
        left = self._left
        for number, (name, value) in enumerate(self._ordered):
            y, end = _TOP + number * _ROW, self._x(value)
            parts.append(f'<text x="{left - 10}" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
            parts.append(f'<rect class="bar" x="{left}" y="{y}" width="{end - left:.1f}" height="20" rx="3"/>')
            parts.append(f'<text x="{end + 6:.1f}" y="{y + 15}">{self._text(value)}</text>')
        return "\n".join([*parts, "</svg>", ""])

    def png(self) -> bytes:
        """The same picture, on white."""
        from PIL import Image, ImageDraw, ImageFont

        height, left = self._height, self._left
        picture = Image.new("RGB", (_WIDTH * _SCALE, height * _SCALE), _PAPER)
        draw = ImageDraw.Draw(picture)
        font, large = (ImageFont.load_default(size * _SCALE) for size in (12, 15))

        def text(x: float, y: float, words: str, anchor: str, with_font: object = font) -> None:
            draw.text((x * _SCALE, y * _SCALE), words, _INK, with_font, anchor)  # type: ignore[arg-type]

        text(12, 24, self.title, "ls", large)
        for power in self._powers:
            at = self._x(10**power)
            draw.line([at * _SCALE, (_TOP - 8) * _SCALE, at * _SCALE, (height - 26) * _SCALE], _GRID, _SCALE)
            text(at, height - 8, self._grid_text(power), "ms")
        for number, (name, value) in enumerate(self._ordered):
            y, end = _TOP + number * _ROW, self._x(value)
            text(left - 10, y + 15, name, "rs")
            box = [left * _SCALE, y * _SCALE, max(end, left) * _SCALE, (y + 20) * _SCALE]
            draw.rounded_rectangle(box, 3 * _SCALE, _BAR)
            text(end + 6, y + 15, self._text(value), "ls")
        content = io.BytesIO()
        picture.save(content, "PNG", optimize=True)
        return content.getvalue()

    @property
    def _ordered(self) -> list[tuple[str, float]]:
        return sorted(self.values, key=lambda entry: entry[1])

    @property
    def _powers(self) -> range:
        low = math.floor(math.log10(self._ordered[0][1]))
        return range(low, max(math.ceil(math.log10(self._ordered[-1][1])), low + 1) + 1)

    @property
    def _height(self) -> int:
        return _TOP + len(self.values) * _ROW + 30

    @property
    def _left(self) -> float:
        return 24 + _CHARACTER * max(len(name) for name, _ in self.values)

    def _x(self, value: float) -> float:
        powers = self._powers
        width = _WIDTH - self._left - _RIGHT
        return self._left + width * (math.log10(value) - powers[0]) / (powers[-1] - powers[0])

    def _text(self, value: float) -> str:
        return f"{value:,.1f} {self.unit}"

    def _grid_text(self, power: int) -> str:
        return f"{10**power:,g} {self.unit}"
