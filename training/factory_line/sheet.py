"""The contact sheet for the README: the seven labels side by side."""

from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from training.factory_line.labels import EMPTY, LABELS
from training.factory_line.video import FRAMES, SLOTS, draw_frame

# A square of this side is cut from the picture and shown in a cell of that side.
CROP_PX: Final = 200
CELL_PX: Final = 176
GAP_PX: Final = 8
CAPTION_PX: Final = 34
BACKGROUND: Final = (18, 22, 26)
INK: Final = (226, 230, 233)


def draw_sheet() -> Image.Image:
    """Crop one frame per label around the middle of the belt and caption it."""
    width = len(LABELS) * (CELL_PX + GAP_PX) + GAP_PX
    sheet = Image.new("RGB", (width, CELL_PX + CAPTION_PX + GAP_PX), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(18)
    for column, label in enumerate(LABELS):
        left = GAP_PX + column * (CELL_PX + GAP_PX)
        sheet.paste(_portrait(label), (left, GAP_PX))
        at = (left + CELL_PX // 2, GAP_PX + CELL_PX + CAPTION_PX // 2 - 3)
        pen.text(at, label, INK, font, anchor="mm")
    return sheet


def write_sheet(path: Path) -> None:
    """Write the sheet as a PNG of 256 colours, which keeps it small enough for a README."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = draw_sheet().quantize(256, dither=Image.Dither.NONE)
    sheet.save(path, optimize=True)


def _portrait(label: str) -> Image.Image:
    slot = [slot[0] for slot in SLOTS].index(label)
    frame = round(slot / len(SLOTS) * FRAMES)
    picture = Image.fromarray(draw_frame(frame))
    middle = 180 if label == EMPTY else round(SLOTS[slot][4])
    half = CROP_PX // 2
    square = picture.crop((320 - half, middle - half, 320 + half, middle + half))
    return square.resize((CELL_PX, CELL_PX), Image.Resampling.LANCZOS)
