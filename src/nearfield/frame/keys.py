"""Key expressions: where each kind of message travels. Building and parsing, no I/O.

`docs/protocol.md` is the public description. `<ns>` is the namespace, `<z>` a zipper's name.

`<function>` and `<origin>` are names that whoever publishes must have a right to.

==========================================  ========================================================
``nearfield/<ns>/frames/<tag>/<z>/<origin>/<by>``  frames; tag in decimal, z where the frame entered, by: the function
                                            that emitted it, or ``-``: the source itself
``nearfield/<ns>/sent/<tag>/<z>/<origin>/<by>/<sender>``  how many frames with this tag a sender has published so far;
                                            query: those that a sink did not get. A source has its origin and ``-``, an
                                            instance of a function ``-`` and the function; sender as in the header
``nearfield/<ns>/dispatch/<z>/<function>/<instance>``  a frame handed to one instance
``nearfield/<ns>/reports/<z>/<function>/<instance>``  what an instance finished, and its heartbeat
``nearfield/<ns>/acks/<z>/<origin>``            what the zipper has taken from a source
``nearfield/<ns>/hello/<session id>``           query: which zipper is this, what does it observe
``nearfield/<ns>/join/<z>/<function>``          query: a function instance asks to be admitted
``nearfield/<ns>/leave/<z>/<function>``         query: an instance leaves, and says what it still finishes
``nearfield/<ns>/ledger/<z>``                   query: the ledger as it stands
``nearfield/<ns>/rights/<z>/<identity>``        query: what this identity may do
``nearfield/<ns>/state/<z>``                    observed tags, published whenever they change
``nearfield/<ns>/alive/<z>/<function>/<instance>``  liveliness token of an instance
``nearfield/<ns>/zippers/<z>``                  liveliness token of a zipper
``nearfield/<ns>/capacity/<z>``                 how many frames of others a zipper takes
``nearfield/<ns>/forward/<z>/<from>/<function>``  a frame handed to another zipper
``nearfield/<ns>/forwarded/<z>/<peer>``         what a peer finished of the frames that z handed to it
==========================================  ========================================================
"""

from __future__ import annotations

import functools
import re

import msgspec

from nearfield.errors import RemoteProtocolError
from nearfield.frame.names import is_name

ROOT = "nearfield"
# Stands for the source itself where a frame's key names who sent it; no name of a function.
SOURCE = "-"
# Nobody announces anything under this key: a session asks for it to learn that the router took in what it declared.
SETTLED = f"{ROOT}/settled"
# One way to write each number: subscriptions match keys letter by letter.
_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_MAX_NUMBER = 2**32 - 1


class FrameKey(msgspec.Struct, frozen=True, gc=False):
    """The parts of a frame's key.

    Attributes:
        by: the function that emitted it, or `SOURCE`.
    """

    namespace: str
    tag: int
    zipper: str
    origin: str
    by: str = SOURCE

    @property
    def is_emitted(self) -> bool:
        """Whether a function made it."""
        return self.by != SOURCE

    def __str__(self) -> str:
        return f"{ROOT}/{self.namespace}/frames/{self.tag}/{self.zipper}/{self.origin}/{self.by}"


@functools.lru_cache(maxsize=4_096)
def parse_frame_key(key: str) -> FrameKey:
    """Take apart the key of a received frame.

    Raises:
        RemoteProtocolError: not a frame key, or it holds a wildcard (a wildcard put reaches every match, so such a
            sample is never accepted).
    """
    parts = key.split("/")
    if len(parts) != 7 or parts[0] != ROOT or parts[2] != "frames":
        raise RemoteProtocolError(
            f"key: got `{key[:200]}`, expected {ROOT}/<namespace>/frames/<tag>/<zipper>/<origin>/<by>"
        )
    _, namespace, _, tag_text, zipper, origin, by = parts
    if not (is_name(namespace) and is_name(zipper) and is_name(origin) and (by == SOURCE or is_name(by))):
        raise RemoteProtocolError(f"key: got `{key[:200]}`, expected plain names without wildcards")
    return FrameKey(namespace, _number("tag", tag_text), zipper, origin, by)


def _number(name: str, text: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > _MAX_NUMBER:
        raise RemoteProtocolError(f"key: got {name} `{text[:20]}`, expected a decimal number from 0 to {_MAX_NUMBER}")
    return int(text)


@functools.lru_cache(maxsize=4_096)
def frame(namespace: str, tag: int, zipper: str, origin: str, by: str = SOURCE) -> str:
    """Where one frame travels."""
    return str(FrameKey(namespace, tag, zipper, origin, by))


class SentKey(msgspec.Struct, frozen=True, gc=False):
    """Where one sender can be asked for the frames with one tag that it published.

    Attributes:
        origin: the source that it is, or `SOURCE`.
        by: the function that it is an instance of, or `SOURCE`: the one of the two that it is.
        sender: as in the header of its frames.
    """

    namespace: str
    tag: int
    zipper: str
    origin: str
    by: str
    sender: int

    def __str__(self) -> str:
        return f"{ROOT}/{self.namespace}/sent/{self.tag}/{self.zipper}/{self.origin}/{self.by}/{self.sender}"

    def frame_key(self, origin: str) -> str:
        """Where a frame of this sender travelled. `origin`: of what a function emitted; that of a source is its own."""
        return frame(self.namespace, self.tag, self.zipper, origin if self.by != SOURCE else self.origin, self.by)


def parse_sent_key(key: str) -> SentKey:
    """Take apart the key under which a sender says how many frames it published.

    Raises:
        RemoteProtocolError: no such key, or it holds a wildcard.
    """
    parts = key.split("/")
    if len(parts) != 8 or parts[0] != ROOT or parts[2] != "sent":
        raise RemoteProtocolError(
            f"key: got `{key[:200]}`, expected {ROOT}/<namespace>/sent/<tag>/<zipper>/<origin>/<by>/<sender>"
        )
    _, namespace, _, tag_text, zipper, origin, by, sender = parts
    is_source, is_function = (is_name(origin), by == SOURCE), (origin == SOURCE, is_name(by))
    if not (is_name(namespace) and is_name(zipper) and (all(is_source) or all(is_function))):
        raise RemoteProtocolError(f"key: got `{key[:200]}`, expected the name of a source or of a function")
    return SentKey(namespace, _number("tag", tag_text), zipper, origin, by, _number("sender", sender))


def sent_key_of(key: str, sender: int) -> SentKey:
    """Where to ask for other frames like the one that came with this key.

    Raises:
        RemoteProtocolError: no frame's key.
    """
    of = parse_frame_key(key)
    return SentKey(of.namespace, of.tag, of.zipper, SOURCE if of.is_emitted else of.origin, of.by, sender)


def origin_in(key: str) -> str:
    """Whose frames travel under a frame's key, which is not checked; empty: it does not say."""
    return ["", *key.rsplit("/", 2)][-2]


def tag_in(key: str) -> str:
    """The tag in a frame's key, which is not checked; empty: it holds none."""
    return "".join(key.split("/", 4)[3:4])


def frames_of_tag(namespace: str, tag: int, zipper: str = "*") -> str:
    """Subscription to one tag, entering at one zipper or anywhere."""
    return f"{ROOT}/{namespace}/frames/{tag}/{zipper}/*/*"


def frames_entering(namespace: str, zipper: str) -> str:
    """Subscription to every tag, entering at one zipper."""
    return f"{ROOT}/{namespace}/frames/*/{zipper}/*/*"


def frames_of_origin(namespace: str, origin: str) -> str:
    """Subscription to all frames of one source, and those made from them or addressed to it."""
    return f"{ROOT}/{namespace}/frames/*/*/{origin}/*"


def all_frames(namespace: str) -> str:
    return f"{ROOT}/{namespace}/frames/*/*/*/*"


def sent_of_tag(namespace: str, tag: int) -> str:
    """Subscription to what any sender says it published with one tag."""
    return f"{ROOT}/{namespace}/sent/{tag}/*/*/*/*"


def all_sent(namespace: str) -> str:
    return f"{ROOT}/{namespace}/sent/*/*/*/*/*"


def dispatch(namespace: str, zipper: str, instance: str) -> str:
    """`instance` as `qualified` gives it, here and below."""
    return f"{ROOT}/{namespace}/dispatch/{zipper}/{instance}"


def reports(namespace: str, zipper: str, instance: str = "*/*") -> str:
    return f"{ROOT}/{namespace}/reports/{zipper}/{instance}"


def acks(namespace: str, zipper: str, origin: str) -> str:
    return f"{ROOT}/{namespace}/acks/{zipper}/{origin}"


def hello(namespace: str, session_id: str) -> str:
    return f"{ROOT}/{namespace}/hello/{session_id}"


def join(namespace: str, zipper: str, function: str = "*") -> str:
    return f"{ROOT}/{namespace}/join/{zipper}/{function}"


def leave(namespace: str, zipper: str, function: str = "*") -> str:
    return f"{ROOT}/{namespace}/leave/{zipper}/{function}"


def rights(namespace: str, zipper: str, identity: str = "*") -> str:
    return f"{ROOT}/{namespace}/rights/{zipper}/{identity}"


def ledger(namespace: str, zipper: str) -> str:
    return f"{ROOT}/{namespace}/ledger/{zipper}"


def state(namespace: str, zipper: str) -> str:
    return f"{ROOT}/{namespace}/state/{zipper}"


def zipper_alive(namespace: str, zipper: str = "*") -> str:
    return f"{ROOT}/{namespace}/zippers/{zipper}"


def capacity(namespace: str, zipper: str = "*") -> str:
    return f"{ROOT}/{namespace}/capacity/{zipper}"


def forward(namespace: str, zipper: str, sender: str = "*", function: str = "*") -> str:
    return f"{ROOT}/{namespace}/forward/{zipper}/{sender}/{function}"


def forwarded(namespace: str, zipper: str, peer: str = "*") -> str:
    return f"{ROOT}/{namespace}/forwarded/{zipper}/{peer}"


def alive(namespace: str, zipper: str, instance: str = "*/*") -> str:
    return f"{ROOT}/{namespace}/alive/{zipper}/{instance}"


def qualified(function: str, instance: str) -> str:
    """What an instance is known by at its zipper: nobody can pass for an instance of another function."""
    return f"{function}/{instance}"


def qualified_in(key: str) -> str:
    """Which instance a key is of, that ends with it.

    Raises:
        RemoteProtocolError: it does not end with two names.
    """
    function, instance = ["", "", *key.rsplit("/", 2)][-2:]
    if not (is_name(function) and is_name(instance)):
        raise RemoteProtocolError(f"key: got `{key[:200]}`, expected .../<function>/<instance>")
    return qualified(function, instance)
