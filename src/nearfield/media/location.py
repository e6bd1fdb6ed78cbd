"""Where a picture or video comes from, as it may be shown to people."""

from __future__ import annotations

import re

# `rtsp://user:password@camera/`: everything up to the last @ before the path. A password may hold an @ itself.
_USER_INFO = re.compile(r"(?<=://)[^/?#\s]*@")

# `?user=admin&password=1234`, as many cameras take it. Which keys are secret is not ours to know.
_QUERY_VALUE = re.compile(r"(?<=[?&;])([^=&;#\s]+)=[^&;#\s]+")

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+)://")


def mask_credentials(location: str) -> str:
    """`location` without user, password and query values if it is a URL; a path comes back as it is."""
    if not scheme_of(location):
        return location
    address, question_mark, query = _USER_INFO.sub("***@", location, count=1).partition("?")
    return address + question_mark + _QUERY_VALUE.sub(r"\1=***", f"?{query}")[1:]


def scheme_of(location: str) -> str:
    """The scheme of a URL in lower case, or "" for a path. One letter before the colon is no scheme."""
    match = _SCHEME.match(location)
    return match[1].lower() if match else ""
