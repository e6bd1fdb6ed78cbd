"""From options of `nearfield run` to limits and grants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nearfield.cli.sandbox_options import grants_of, limits_of, pictures_of
from nearfield.errors import UsageError
from nearfield.media import Resampling
from nearfield.sandbox import Directory, Grants, Limits, PictureRules
from nearfield.supervised import GUEST_ENVIRONMENT_VARIABLE


def grants(environ: dict[str, str] | None = None, **given: Any) -> Grants:
    options = {
        "environment": None, "readable": None, "writable": None,
        "clock_resolution": "1us", "random_seed": None, "http_hosts": None, **given,
    }  # fmt: skip
    return grants_of(**options, environ={} if environ is None else environ)


def test_without_options_everything_has_its_default() -> None:
    assert limits_of("1s", "256MiB", None) == Limits()
    assert grants() == Grants()


def test_limits_have_the_keys_of_the_workflow() -> None:
    assert limits_of("200ms", "1MiB", ["log_rate=1kB", "handles=8", "compile_time=2m", "handles=9"]) == Limits(
        deadline_s=0.2, memory_bytes=2**20, log_bytes_per_s=1000, handles=9, compile_s=120
    )


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("speed=3", r"^--limit: got `speed=3`, expected KEY=VALUE with one of deadline, host_time"),
        ("handles", r"^--limit handles: got ``, expected a whole number"),
        ("handles=0", r"^--limit handles: got `0`, expected more than 0"),
        ("handles=-1", r"^--limit handles: got `-1`, expected a whole number"),
        ("grace=5", r"^--limit grace: got `5`, expected a duration with its unit"),
        ("instance=frame", "expected KEY=VALUE"),
    ],
)
def test_a_limit_that_cannot_be_is_named(limit: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        limits_of("1s", "1MiB", [limit])


def test_directories_are_named_by_the_guests_path_first() -> None:
    assert grants(readable=["/data=/srv/a=b"], writable=["/out=/srv/out"]).directories == (
        Directory(Path("/srv/a=b"), "/data"),
        Directory(Path("/srv/out"), "/out", write=True),
    )
    (relative,) = grants(readable=["/data=parts"]).directories
    assert relative.host == Path("parts").absolute()


def test_a_variable_is_given_or_taken_from_our_environment() -> None:
    environ = {"TOKEN": "secret"}
    assert grants(environ, environment=["LINE=3=4", "TOKEN"]).environment == {"LINE": "3=4", "TOKEN": "secret"}


def test_what_the_supervisor_says_is_taken_out_of_our_environment() -> None:
    environ = {GUEST_ENVIRONMENT_VARIABLE: '{"LINE": "3", "TOKEN": "theirs"}'}
    assert grants(environ, environment=["TOKEN=ours"]).environment == {"LINE": "3", "TOKEN": "ours"}
    assert environ == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"environment": ["1=2"]}, "^--env: got `1`, expected letters"),
        ({"environment": ["ABSENT"]}, "^--env: `ABSENT` is not set in this process's environment"),
        ({"readable": ["/data"]}, "^--dir: got `/data`, expected GUEST=HOST"),
        ({"readable": ["data=/srv"]}, "^--dir: directory: got guest path `data`, expected an absolute path"),
        ({"writable": ["/a/../b=/srv"]}, "^--writable-dir: directory: got guest path `/a/../b`"),
        ({"readable": ["/a=/x", "/a/=/y"]}, "^directories: got guest path `/a` twice"),
        ({"clock_resolution": "2s"}, "^clock resolution: got 2000000000 ns"),
        ({"clock_resolution": "0"}, "^--clock-resolution: got `0`, expected more than 0"),
        ({"http_hosts": ["http://x"]}, "^http host: got `http://x`, expected a host such as"),
    ],
)
def test_a_grant_that_cannot_be_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        grants(**given)


@pytest.mark.parametrize(
    ("pixels", "rule"),
    [("auto", None), ("align-corners", Resampling.ALIGN_CORNERS), ("smooth", Resampling.SMOOTH)],
)
@pytest.mark.parametrize("exact", [False, True])
def test_pixels_are_made_by_the_named_rule(pixels: str, rule: Resampling | None, exact: bool) -> None:
    assert pictures_of(pixels, exact) == PictureRules(rule, exact)


@pytest.mark.parametrize("pixels", ["", "AUTO", "bilinear"])
def test_an_unknown_rule_for_pixels_is_named(pixels: str) -> None:
    with pytest.raises(UsageError, match=f"^--pixels: got `{pixels}`, expected auto, align-corners or smooth$"):
        pictures_of(pixels, False)


def test_limits_of_pictures_are_limits_like_others() -> None:
    assert limits_of("1s", "256MiB", ["picture=1MiB", "picture_pixels=1000000", "picture_scans=20"]) == Limits(
        picture_bytes=2**20, picture_pixels=1_000_000, picture_scans=20
    )
