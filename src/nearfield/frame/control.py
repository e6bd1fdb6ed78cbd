"""Control messages: JSON objects that zippers, sources and function instances exchange beside the frames.

Unknown fields are ignored, so that a newer side may say more. `docs/protocol.md` is the public description.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from nearfield.errors import RemoteProtocolError
from nearfield.frame.header import MAX_COUNT
from nearfield.frame.rights import is_allowed_name
from nearfield.frame.tag import MAX_TAG

PROTOCOL_VERSION = 1
# Frames that a source may have under way.
MAX_WINDOW = 1_024
# The frames that an instance may be handed before the first is done; what it can hold without losing any.
MAX_CREDITS = 1_024
# That a sink may ask a sender for at a time.
MAX_WANTED_RANGES = 64

# JSON knows no bounds; what is computed with, or told to others, needs some. Zero to 2**63 - 1 unless it says more.
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Positive = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Number = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
Tag = Annotated[int, Meta(ge=0, le=MAX_TAG)]


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """A zipper's answer to `hello`, and what it publishes as `state` once a second and whenever it changes.

    Attributes:
        protocol: version of keys, header and these messages.
        zipper: the zipper's name.
        epoch: chosen at random each time the zipper starts. When it changes, instances join anew and sources send
            again what was not released.
        observed: tags that some group at this zipper observes. Frames with these tags are acknowledged.
        version: of the software, for people.
        ordered: frames of one origin must arrive in the order in which they were made even where their tags differ:
            those with one tag do not leave together before an earlier one with another tag.
    """

    protocol: int
    zipper: str
    epoch: int
    observed: list[int]
    version: str = ""
    ordered: bool = False


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """A zipper's answer to `rights`: what the one who asks may do there. By default everything.

    Attributes:
        send: tags, as a source.
        origins: names that it may send under; those that end with `*` stand for all that begin so.
        functions: of which it may be an instance; `*`: any.
        observe: tags, as a sink.
        ledger: whether it may ask for the ledger.
        max_payload_bytes: of a frame that it sends; None: not said.
    """

    send: tuple[int, ...] | Literal["all"] = "all"
    origins: tuple[str, ...] = ("*",)
    functions: tuple[str, ...] = ("*",)
    observe: tuple[int, ...] | Literal["all"] = "all"
    ledger: bool = True
    max_payload_bytes: int | None = None

    def may_send(self, tag: int) -> bool:
        return self.send == "all" or tag in self.send

    def may_observe(self, tag: int) -> bool:
        return self.observe == "all" or tag in self.observe

    def may_send_as(self, origin: str) -> bool:
        return is_allowed_name(origin, self.origins)

    def may_be(self, function: str) -> bool:
        return function in self.functions or "*" in self.functions


class JoinRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An instance asks to be given frames.

    Attributes:
        function: name of the group.
        instance: unique name of this instance.
        observe: tags; empty: those the workflow names for this function.
        emit: tags that it may emit; empty: not said.
        credits: how many frames it takes at a time, those being handled included; 1 to `MAX_CREDITS`.
        most_credits: as many as it takes while it is done with them quickly; 0: `credits`.
        concurrency: how many it handles at a time.
        runtime: "python", or the ABI of the guest.
        pid: process id, for people.
    """

    protocol: int
    function: str
    instance: str
    observe: list[int]
    emit: list[int] = []
    credits: int = 2
    most_credits: int = 0
    concurrency: int = 1
    runtime: str = "python"
    pid: Count = 0


class JoinReply(msgspec.Struct, frozen=True, kw_only=True):
    """The zipper's answer: `error` is None when admitted.

    Attributes:
        observe: tags of the frames that the instance is handed.
        mode: what is promised for them. In "complete" an instance keeps what it emits for sinks that miss some.
        ordered: those of each source are handled in the order in which they came; so are results to arrive.
    """

    error: str | None = None
    epoch: int = 0
    observe: list[int] = []
    mode: Literal["live", "complete"] = "live"
    ordered: bool = False


Status = Literal["completed", "failed", "dropped"]


class Done(msgspec.Struct, frozen=True, array_like=True):
    """One delivery that an instance is through with.

    Attributes:
        delivery: number given by the dispatcher.
        status: completed, failed (the handler did) or dropped (the frame was stale before it was handled).
        reason: a short class of the failure or drop, for counting: "trap", "stale".
        handler_ns: time in the handler.
    """

    delivery: int
    status: Status
    reason: str
    handler_ns: Count


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance says after frames, and twice a second.

    Attributes:
        epoch: of the zipper it joined.
        received: highest delivery number seen. A delivery up to this number that is neither in `holding` nor was ever
            reported done got lost on the way.
        holding: deliveries queued or being handled.
        done: finished since the last report, and the latest earlier ones again.
        busy_ms: for how long the handler has been at its present frame, at the oldest of several; 0 when idle.
    """

    instance: str
    epoch: int
    received: int
    holding: list[int]
    done: list[Done] = []
    busy_ms: Count = 0


class LeaveReply(msgspec.Struct, frozen=True, kw_only=True):
    """The zipper's answer to an instance that leaves, which asks with a `Report`.

    What it named in `holding` it is still expected to finish; everything else went to others.

    Attributes:
        error: None, or why the zipper does nothing about it: it does not know the instance.
    """

    error: str | None = None


class GroupOffer(msgspec.Struct, frozen=True, kw_only=True):
    """What a zipper says of one function that is running there.

    Attributes:
        free: frames that its instances take at once at this moment.
        observe: its tags.
        mode, queue, max_age_ns, retries, order, dead_letter: the function's delivery, for zippers whose workflow does
            not name it.
    """

    free: Count
    observe: list[int]
    mode: Literal["live", "complete"] = "live"
    queue: Positive = 8
    max_age_ns: Count | None = None
    retries: Count = 2
    order: Literal["none", "source"] = "none"
    dead_letter: Tag | None = None


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What a zipper heard of another one.

    Attributes:
        epoch: of that other one.
        stamp_ns: of its latest `Capacity`.
        held_ns: time since that arrived.
        received: highest number of a delivery from it. Those up to it are part of what is taken, not of what is free.
    """

    epoch: Count
    stamp_ns: Count
    held_ns: Count
    received: Count = 0


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """A zipper to its peers, four times a second: what it could do for them.

    Attributes:
        stamp_ns: by a clock that only the sender reads; it comes back in `Heard`, which gives the round trip.
        heard: by zipper.
        groups: by function.
    """

    protocol: int
    zipper: str
    epoch: Count
    stamp_ns: Count
    heard: dict[str, Heard] = {}
    groups: dict[str, GroupOffer] = {}


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """The zipper to a source: these frames need not be kept any longer.

    Attributes:
        stream: the incarnation of the source that is meant.
        epoch: of the zipper.
        released: sequence numbers in ranges, first and last each, ascending: what is new, and the latest ranges of
            what the stream had released before, 64 of them at least. So a lost one is repaired by the next.
    """

    stream: int
    epoch: int
    released: list[tuple[int, int]]


class SentSoFar(msgspec.Struct, frozen=True, kw_only=True):
    """A sender to sinks, once it has sent nothing for a moment: so the loss of its latest frames is noticed too.

    Attributes:
        count: of the latest frame that it published with the tag in the key.
        kept: whether it can be asked for those that did not come.
    """

    count: Number
    kept: bool = False


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A sink to a sender: frames with the tag in the key that did not come.

    Attributes:
        counts: numbers that the sender gave them, in ranges, first and last each, ascending.
        max_age_ms: how long ago they were published at most; what is older was not meant for this sink.
    """

    counts: Annotated[list[tuple[Number, Number]], Meta(min_length=1, max_length=MAX_WANTED_RANGES)]
    max_age_ms: Count


Message = TypeVar("Message", bound=msgspec.Struct)

encode = msgspec.json.Encoder().encode


def decode(kind: type[Message], data: bytes) -> Message:
    """Parse a peer's message.

    Raises:
        RemoteProtocolError: no JSON, fields missing, of a wrong type or out of bounds, or nested without measure.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(f"{kind.__name__.lower()} message: {error}") from error
