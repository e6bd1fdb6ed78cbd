"""What we may do at a zipper, checked here first: what the zipper's router stops, it drops without a word."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from nearfield.errors import RefusedError
from nearfield.frame import format_tag
from nearfield.frame.control import Granted

EVERYTHING = Granted()
_OF_SIZES = "see `max_payload` in its workflow"


@dataclass(frozen=True, slots=True)
class Permission:
    """What the zipper at the other end grants.

    Attributes:
        identity: who we are to it; None: nobody in particular.
        zipper: its name.
    """

    identity: str | None
    zipper: str
    granted: Granted = EVERYTHING

    def check_origin(self, name: str) -> None:
        """May we send as this source?

        Raises:
            RefusedError: no.
        """
        if not self.granted.may_send_as(name):
            origins = ", ".join(f"`{origin}`" for origin in self.granted.origins)
            expected = f"expected {origins}" if origins else "it is no source"
            raise self._refusal(f"may not send as `{name}`; {expected}")

    def check_send(self, tag: int) -> None:
        """May we send this tag?

        Raises:
            RefusedError: no.
        """
        if not self.granted.may_send(tag):
            raise self._refusal(f"may not send tag {format_tag(tag)}; expected {_listed(self.granted.send)}")

    def check_size(self, size_bytes: int) -> None:
        """May we send so much in one frame? Beyond, the zipper's router drops it, and nobody would ever know.

        Raises:
            RefusedError: no.
        """
        most = self.granted.max_payload_bytes
        if most is not None and size_bytes > most:
            raise self._refusal(f"may not send {size_bytes} bytes in one frame; expected at most {most}", _OF_SIZES)

    def check_observe(self, tags: Iterable[int]) -> None:
        """May we receive these tags?

        Raises:
            RefusedError: not all of them.
        """
        for tag in tags:
            if not self.granted.may_observe(tag):
                expected = _listed(self.granted.observe)
                raise self._refusal(f"may not observe tag {format_tag(tag)}; expected {expected}")

    def observable(self) -> Sequence[int] | None:
        """The tags that we may receive; None: all.

        Raises:
            RefusedError: there is none.
        """
        if self.granted.observe == "all":
            return None
        if not self.granted.observe:
            raise self._refusal("may not observe anything")
        return [tag for tag in self.granted.observe if isinstance(tag, int)]

    def check_function(self, name: str) -> None:
        """May we be an instance of this function?

        Raises:
            RefusedError: no.
        """
        if not self.granted.may_be(name):
            functions = ", ".join(f"`{function}`" for function in self.granted.functions)
            raise self._refusal(f"may not run function `{name}`; expected {functions or 'none'}")

    def check_ledger(self) -> None:
        """May we ask for the ledger?

        Raises:
            RefusedError: no.
        """
        if not self.granted.ledger:
            raise self._refusal("may not read the ledger")

    def _refusal(self, what: str, hint: str = "see `rights` in its workflow") -> RefusedError:
        who = "whoever has no identity" if self.identity is None else f"`{self.identity}`"
        return RefusedError(f"{who} {what}", where=f"zipper `{self.zipper}`", hint=hint)


def _listed(tags: tuple[int, ...] | Literal["all"]) -> str:
    return ", ".join(map(format_tag, tags)) or "none" if isinstance(tags, tuple) else tags
