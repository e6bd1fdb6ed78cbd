"""A camera that needs no hardware: grey pictures that grow brighter and darker, as JPEG frames with tag 0x10.

Arguments: the zipper's address, localhost:9900 unless given; how many pictures, 250 unless given.
"""

import math
import sys
import time

import numpy as np
import simplejpeg

from nearfield import Source

FPS = 25
SIZE_WH = (160, 120)


def picture(number: int) -> bytes:
    """JPEG number `number`; its brightness swings from 0 to 255 and back every four seconds."""
    level = round(127.5 - 127.5 * math.cos(2 * math.pi * number / (4 * FPS)))
    width, height = SIZE_WH
    return simplejpeg.encode_jpeg(np.full((height, width, 3), level, np.uint8))


def main(zipper: str = "localhost:9900", pictures: str = "250") -> None:
    """Send so many pictures at 25 a second. A live source never waits: the newest picture wins."""
    with Source("camera", zipper, tag=0x10) as camera:
        for number in range(int(pictures)):
            camera.send(picture(number))
            time.sleep(1 / FPS)
    print(camera.statistics())


if __name__ == "__main__":
    main(*sys.argv[1:])
