"""What a zipper needs to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nearfield.frame.rights import Right
from nearfield.transport import Address, Identity
from nearfield.zipper.dispatcher import QUEUE_BYTES
from nearfield.zipper.outbox import StuckInstance
from nearfield.zipper.policy import GroupPolicy
from nearfield.zipper.rate_limit import NO_LIMIT, RateLimit
from nearfield.zipper.self_probe import ListenerCallback


@dataclass(frozen=True, slots=True)
class ZipperSettings:
    """What a zipper needs to know.

    Attributes:
        namespace: that of `policies`.
        listen: addresses for QUIC.
        policies: the functions that may join.
        namespaces: further namespaces, and the functions of each: they share the session and nothing else.
        peers: other zippers, to form a mesh with. They need not be there yet, and need not name this one.
        client: certificates to show them; None: `identity`.
        peer_names: common names of certificates of zippers that are peers in every namespace, whatever `rights` say.
        rights: who may do what, in all namespaces; None: everyone whom `identity` lets in may do everything.
        max_payload_bytes: frames with more are refused and counted.
        queue_bytes: of the payloads that wait, in all queues together. Each namespace has the same part of it.
        rate_limit: of each source; what exceeds it is refused and counted.
        on_listener: called on a thread of its own when a listener does not answer, or does again.
        on_stuck: called on a dispatcher's thread with the namespace and each instance that is found to be stuck. Must
            not block.
    """

    name: str
    namespace: str
    listen: Sequence[Address]
    identity: Identity
    policies: Sequence[GroupPolicy]
    namespaces: Mapping[str, Sequence[GroupPolicy]] = field(default_factory=dict)
    peers: Sequence[Address] = ()
    client: Identity | None = None
    peer_names: Sequence[str] = ()
    rights: Sequence[Right] | None = None
    max_payload_bytes: int = 16 * 1024 * 1024
    queue_bytes: int = QUEUE_BYTES
    rate_limit: RateLimit = NO_LIMIT
    on_listener: ListenerCallback = lambda _, __: None
    on_stuck: Callable[[str, StuckInstance], None] = lambda namespace, stuck: None
