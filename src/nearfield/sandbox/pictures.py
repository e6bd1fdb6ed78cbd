"""How pictures become the pixels that a guest gets."""

from __future__ import annotations

from dataclasses import dataclass

from nearfield.media import Resampling


@dataclass(frozen=True, slots=True)
class PictureRules:
    """Which of the two rules `wasmedge_image` follows, and how closely (docs/abi.md, "Pictures").

    Attributes:
        resampling: for all of its functions; None: each follows the WasmEdge that its name comes from.
        exact: decode at full size, and scale as the original does to the last bit, which takes longer.
    """

    resampling: Resampling | None = None
    exact: bool = False
