"""Frames, tags, headers, names and keys: the vocabulary of the wire, without any I/O."""

from nearfield.frame.frame import Frame
from nearfield.frame.header import FLAG_EMITTED, HEADER_BYTES, HEADER_VERSION, Header, decode_header
from nearfield.frame.names import check_name, is_name, name_from
from nearfield.frame.tag import MAX_TAG, RESERVED_TAGS, format_tag, parse_tag

__all__ = [
    "FLAG_EMITTED",
    "HEADER_BYTES",
    "HEADER_VERSION",
    "MAX_TAG",
    "RESERVED_TAGS",
    "Frame",
    "Header",
    "check_name",
    "decode_header",
    "format_tag",
    "is_name",
    "name_from",
    "parse_tag",
]
