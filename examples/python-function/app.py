"""How bright is each picture? JPEG in on 0x10, JSON out on 0x13.

Started by `nearfield serve -c examples/python-function/workflow.yaml`, or by hand with `nearfield run app.py`.
"""

import json

from nearfield import Context, StreamFunction
from nearfield.media import decode_image

brightness = StreamFunction("brightness", zipper="localhost:9900", observe=[0x10], emit=[0x13])


@brightness
async def measure(context: Context) -> None:
    """Emit the mean of all pixels, 0 (black) to 1 (white). A payload that is no JPEG fails its frame only."""
    pixels = decode_image(context.payload, (32, 32))
    context.emit(0x13, json.dumps({"brightness": round(float(pixels.mean()) / 255, 3)}))
