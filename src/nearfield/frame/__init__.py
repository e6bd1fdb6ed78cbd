"""Frames, tags, headers, names and keys: the vocabulary of the wire, without any I/O."""

from nearfield.frame.frame import Frame
from nearfield.frame.header import (
    FLAG_ADDRESSED,
    FLAG_EMITTED,
    FLAG_IN_ORDER,
    FLAG_KEPT,
    HEADER_BYTES,
    HEADER_VERSION,
    PRIORITIES,
    Header,
    Priority,
    decode_header,
    flags_of,
)
from nearfield.frame.names import check_name, is_name, name_from
from nearfield.frame.received import read_frame
from nearfield.frame.tag import MAX_TAG, RESERVED_TAGS, format_tag, parse_tag

__all__ = [
    "FLAG_ADDRESSED",
    "FLAG_EMITTED",
    "FLAG_IN_ORDER",
    "FLAG_KEPT",
    "HEADER_BYTES",
    "HEADER_VERSION",
    "MAX_TAG",
    "PRIORITIES",
    "RESERVED_TAGS",
    "Frame",
    "Header",
    "Priority",
    "check_name",
    "decode_header",
    "flags_of",
    "format_tag",
    "is_name",
    "name_from",
    "parse_tag",
    "read_frame",
]
