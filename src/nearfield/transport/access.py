"""Whom a zipper lets in, where it is not by certificates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from nearfield.transport.tokens import Token


@dataclass(frozen=True, slots=True)
class TokenAccess:
    """Those who have one of these tokens. Certificates of clients are not asked for.

    Attributes:
        tokens: each with another name.
        own: which of them the zipper itself shows to other zippers.
    """

    tokens: tuple[Token, ...]
    own: Token


@dataclass(frozen=True, slots=True)
class OpenAccess:
    """Everyone who reaches the port: `insecure: true`. The connection is encrypted all the same."""


Access: TypeAlias = TokenAccess | OpenAccess
