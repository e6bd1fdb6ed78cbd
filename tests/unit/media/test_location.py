"""Locations as people may see them."""

from __future__ import annotations

import pytest

from nearfield.media import mask_credentials
from nearfield.media.location import scheme_of


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("rtsp://admin:1234@10.0.0.7/ch1", "rtsp://***@10.0.0.7/ch1"),
        ("rtsp://admin@10.0.0.7/ch1", "rtsp://***@10.0.0.7/ch1"),
        ("rtsp://admin:p@ss@10.0.0.7:554/ch1", "rtsp://***@10.0.0.7:554/ch1"),
        ("http://cam/video?user=admin&password=1234#x", "http://cam/video?user=***&password=***#x"),
        ("http://u:p@cam/a?token=t", "http://***@cam/a?token=***"),
        ("http://cam/a@b?x", "http://cam/a@b?x"),
        ("http://cam/video", "http://cam/video"),
        ("videos/me@home?a=b.mp4", "videos/me@home?a=b.mp4"),
        ("", ""),
    ],
)
def test_user_password_and_query_values_are_hidden(location: str, shown: str) -> None:
    assert mask_credentials(location) == shown


@pytest.mark.parametrize(
    ("location", "scheme"), [("RTSP://x", "rtsp"), ("a.mp4", ""), ("C://x", ""), ("concat:a|b", ""), ("/a://b", "")]
)
def test_the_scheme_of_a_url_is_found(location: str, scheme: str) -> None:
    assert scheme_of(location) == scheme
