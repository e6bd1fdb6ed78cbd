"""Media: still images and video, decoded within limits and encoded fast."""

from nearfield.media.image import DEFAULT_LIMITS, ImageLimits, decode_image
from nearfield.media.jpeg import encode_jpeg
from nearfield.media.layout import Layout
from nearfield.media.location import mask_credentials, scheme_of
from nearfield.media.resize import Resampling
from nearfield.media.video import VideoReader, open_video
from nearfield.media.video_frame import VideoFrame

__all__ = [
    "DEFAULT_LIMITS",
    "ImageLimits",
    "Layout",
    "Resampling",
    "VideoFrame",
    "VideoReader",
    "decode_image",
    "encode_jpeg",
    "mask_credentials",
    "open_video",
    "scheme_of",
]
