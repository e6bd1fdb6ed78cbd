"""Which frames come in: subscriptions to the tags that functions observe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nearfield.frame import keys
from nearfield.transport import BundleCallback, Handle, Message, Session


class Entrance:
    """Subscribes to observed tags, so that others cost nothing.

    Each subscription has a thread of its own, on which frames keep the order in which they were sent. Where that
    matters between tags there is one subscription to all of them instead, and those that nobody observes are left out
    here. It then stays.

    Args:
        zipper: where frames enter.
        on_frames: called on zenoh's threads with the frames of observed tags: must not block.
    """

    def __init__(self, session: Session, namespace: str, zipper: str, on_frames: BundleCallback) -> None:
        self._session = session
        self._namespace = namespace
        self._zipper = zipper
        self._on_frames = on_frames
        self._by_tag: dict[int, Handle] = {}
        self._all: Handle | None = None
        self._observed: frozenset[str] = frozenset()

    def open_for(self, tags: Iterable[int], *, in_order: bool) -> None:
        """Let in frames with these tags, and no others.

        Args:
            in_order: frames with different tags come in the order in which they were sent. A frame that a function
                emits while this is asked for the first time may come in twice.
        """
        observed = frozenset(tags)
        self._observed = frozenset(map(str, observed))
        if in_order and self._all is None:
            key = keys.frames_entering(self._namespace, self._zipper)
            self._all = self._session.subscribe_all(key, self._on_any)
        if self._all is not None:
            observed = frozenset()
        for tag in self._by_tag.keys() - observed:
            self._by_tag.pop(tag).close()
        for tag in observed - self._by_tag.keys():
            key = keys.frames_of_tag(self._namespace, tag, self._zipper)
            self._by_tag[tag] = self._session.subscribe_all(key, self._on_frames)

    def _on_any(self, key: str, messages: Sequence[Message]) -> None:
        tag = keys.tag_in(key)
        # What is no tag goes on, to be refused and counted.
        if tag in self._observed or not tag.isdecimal():
            self._on_frames(key, messages)
