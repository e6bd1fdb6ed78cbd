"""The zipper: one session that listens, and a dispatcher for each namespace that shares it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from nearfield.clock import Clock, SystemClock
from nearfield.errors import UsageError
from nearfield.frame.rights import Right
from nearfield.transport import Opening, Session, open_router, reopen_router
from nearfield.zipper.entitlements import Entitlements
from nearfield.zipper.namespace import Namespace
from nearfield.zipper.policy import GroupPolicy
from nearfield.zipper.self_probe import SelfProbe
from nearfield.zipper.settings import ZipperSettings

_log = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 2.0


class Zipper:
    """A running node. Made by `start`, ended by `close`.

    Methods that concern functions take the `namespace`; None: that of the settings. All may be called from any thread.
    """

    def __init__(self, settings: ZipperSettings, clock: Clock | None = None) -> None:
        self.settings = settings
        self._clock = clock or SystemClock()
        self._rights = settings.rights
        self._is_deaf = False
        self._session: Session | None = None
        self._stopped = threading.Event()
        self._reopening = threading.Lock()
        self._self_probe = SelfProbe(settings.listen, settings.on_listener)
        functions = {settings.namespace: settings.policies, **settings.namespaces}
        self._namespaces = {
            name: Namespace(
                settings,
                name,
                policies,
                queue_bytes=max(settings.max_payload_bytes, settings.queue_bytes // len(functions)),
                clock=self._clock,
                on_stopped=self._stopped.set,
                listeners=self._self_probe.snapshot,
            )
            for name, policies in functions.items()
        }

    def start(self) -> None:
        """Listen, and begin to dispatch.

        Raises:
            TransportError: an address cannot be bound.
        """
        self._session = session = open_router(self._opening(self._rights))
        for namespace in self._namespaces.values():
            namespace.start(session, self._entitlements(self._rights, namespace.name))
        self._self_probe.start()

    def close(self) -> None:
        """Stop dispatching and listening. Idempotent; returns within about a second."""
        self._stopped.set()
        self._self_probe.close()
        for namespace in self._namespaces.values():
            namespace.close()
        with self._reopening:
            if self._session is not None:
                self._session.close()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the zipper stopped, by `close` or by a defect (`failure`). False: not within the time."""
        return self._stopped.wait(timeout_s)

    @property
    def failure(self) -> BaseException | None:
        """The defect that stopped a dispatcher; None: there is none."""
        return next((each.failure for each in self._namespaces.values() if each.failure is not None), None)

    @property
    def namespaces(self) -> Sequence[str]:
        """Names of the namespaces, that of the settings first."""
        return tuple(self._namespaces)

    def set_rights(self, rights: Sequence[Right] | None) -> bool:
        """Let each identity do what these rights say, and nobody anything else, from now on.

        The session is opened anew for it, which cuts everyone off for about a second; nothing that is `complete` is
        lost. Blocks meanwhile.

        Returns:
            False: these are the rights that hold already, and nothing was done.

        Raises:
            TransportError: the session does not open again, and the zipper is deaf until this is called with success.
        """
        with self._reopening:
            holds_already = rights == self._rights and not self._is_deaf
            if holds_already or self._stopped.is_set() or self._session is None:
                return False
            # Before anybody can connect again and ask.
            for namespace in self._namespaces.values():
                namespace.entitle(self._entitlements(rights, namespace.name))
            self._is_deaf = True
            reopen_router(self._session, self._opening(rights))
            self._is_deaf = False
            self._rights = rights
            return True

    def ledger(self, timeout_s: float = ANSWER_TIMEOUT_S, *, namespace: str | None = None) -> dict[str, Any]:
        """The ledger at this moment, as plain data.

        Raises:
            TransportError: the dispatcher did not answer in time.
            UsageError: no such namespace.
        """
        return self._in(namespace).ledger(timeout_s)

    def set_policies(
        self, policies: Sequence[GroupPolicy], timeout_s: float = ANSWER_TIMEOUT_S, *, namespace: str | None = None
    ) -> None:
        """The functions that may join from now on; those left out are removed.

        What waits and is in flight of functions that stay is kept; what there is of those that go is counted as dropped
        ("removed").

        Raises:
            TransportError: the dispatcher did not answer in time.
            UsageError: no such namespace.
        """
        self._in(namespace).set_policies(policies, timeout_s)

    def add_function(
        self, policy: GroupPolicy, timeout_s: float = ANSWER_TIMEOUT_S, *, namespace: str | None = None
    ) -> None:
        """One more function that may join, or other settings for one. Otherwise as `set_policies`."""
        self._in(namespace).add_function(policy, timeout_s)

    def remove_function(self, name: str, timeout_s: float = ANSWER_TIMEOUT_S, *, namespace: str | None = None) -> bool:
        """One function less. False: there is none of this name. Otherwise as `set_policies`."""
        return self._in(namespace).remove_function(name, timeout_s)

    def expect(
        self,
        name: str,
        observe: frozenset[int],
        timeout_s: float = ANSWER_TIMEOUT_S,
        *,
        namespace: str | None = None,
    ) -> bool:
        """Admit instances of a function that ask for tags which it will observe only after the next `set_policies`.

        No tags: not any more. False: there is no such function. Otherwise as `set_policies`.
        """
        return self._in(namespace).expect(name, observe, timeout_s)

    def pids_of(self, function: str, timeout_s: float = ANSWER_TIMEOUT_S, *, namespace: str | None = None) -> set[int]:
        """Process ids, as they say themselves, of the instances of a function that take frames.

        Raises:
            TransportError: the dispatcher did not answer in time.
            UsageError: no such namespace.
        """
        return self._in(namespace).pids_of(function, timeout_s)

    def _in(self, name: str | None) -> Namespace:
        namespace = self._namespaces.get(name or self.settings.namespace)
        if namespace is None:
            known = ", ".join(f"`{each}`" for each in self._namespaces)
            raise UsageError(f"namespace: got `{name}`, expected one of {known}")
        return namespace

    def _opening(self, rights: Sequence[Right] | None) -> Opening:
        s = self.settings
        return Opening(
            zipper=s.name,
            listen=tuple(s.listen),
            identity=s.identity,
            peers=tuple(s.peers),
            client=s.client,
            rights=None if rights is None else tuple(rights),
            peer_names=tuple(s.peer_names),
            max_payload_bytes=s.max_payload_bytes,
        )

    def _entitlements(self, rights: Sequence[Right] | None, namespace: str) -> Entitlements:
        return Entitlements(None if rights is None else [each for each in rights if each.namespace == namespace])
