"""Bars on a logarithmic scale, as SVG that reads on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

_WIDTH, _ROW, _LEFT, _RIGHT, _TOP = 760, 30, 200, 110, 48
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f; }
  .title { font-size: 15px; font-weight: 600; }
  .grid { stroke: #d0d7de; }
  .bar { fill: #4477aa; }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3; } .grid { stroke: #30363d; } .bar { fill: #77aadd; } }
"""


def bars(title: str, values: Sequence[tuple[str, float]], unit: str) -> str:
    """Horizontal bars, shortest first.

    Args:
        values: names and values greater than 0.
    """
    ordered = sorted(values, key=lambda entry: entry[1])
    low = math.floor(math.log10(ordered[0][1]))
    high = math.ceil(math.log10(ordered[-1][1]))
    width = _WIDTH - _LEFT - _RIGHT
    height = _TOP + len(ordered) * _ROW + 30

    def x(value: float) -> float:
        return _LEFT + width * (math.log10(value) - low) / max(high - low, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<text class="title" x="12" y="24">{escape(title)}</text>',
    ]
    for power in range(low, high + 1):
        at = x(10**power)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP - 8}" y2="{height - 26}"/>')
        parts.append(f'<text x="{at:.1f}" y="{height - 8}" text-anchor="middle">{10**power:,g} {unit}</text>')
    for number, (name, value) in enumerate(ordered):
        y = _TOP + number * _ROW
        parts.append(f'<text x="{_LEFT - 10}" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="bar" x="{_LEFT}" y="{y}" width="{x(value) - _LEFT:.1f}" height="20" rx="3"/>')
        parts.append(f'<text x="{x(value) + 6:.1f}" y="{y + 15}">{value:,.1f} {unit}</text>')
    return "\n".join([*parts, "</svg>", ""])
