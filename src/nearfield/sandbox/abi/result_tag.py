"""The tag of results, for ABIs whose results carry none. Pure."""

from __future__ import annotations

from nearfield.errors import ConfigError
from nearfield.frame import RESERVED_TAGS
from nearfield.sandbox.abi.contract import AbiOptions


def result_tag_of(options: AbiOptions, abi: str) -> int:
    """The tag given, else the only one that may be emitted.

    Args:
        abi: its name, for messages.

    Raises:
        ConfigError: there is none, or it may not be emitted.
    """
    tag = options.result_tag
    if tag is None and options.emit is not None and len(options.emit) == 1:
        (tag,) = options.emit
    if tag is None:
        raise ConfigError(
            f"result tag: got none, expected one: results of {abi} guests carry no tag",
            hint="give the function one tag to `emit`",
        )
    if tag in RESERVED_TAGS if options.emit is None else tag not in options.emit:
        raise ConfigError(f"result tag: got {tag:#x}, expected a tag that the function may emit")
    return tag
