"""Why a zipper cannot be reached: one clear error in place of the engine's "Unable to connect".

A zipper listens with TLS over TCP on the port on which it listens with QUIC, with the same certificates. That
handshake can be made with the standard library, which says what is wrong.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import NoReturn

from cryptography import x509

from nearfield.errors import CertificateError, NearfieldError, RefusedError, TransportError
from nearfield.transport.address import Address
from nearfield.transport.certificates import Credentials, Identity, describe_name, names_in
from nearfield.transport.session import is_let_in

DEADLINE_S = 2.0
# With TLS 1.3 a server looks at our certificate after our handshake is done, and answers one round trip later.
_VERDICT_WAIT_S = 0.5
# A socket timeout of 0 would mean non-blocking.
_SHORTEST_WAIT_S = 0.01

# Codes of certificate verification (openssl/x509_vfy.h).
_NOT_YET_VALID, _EXPIRED = 9, 10
_UNKNOWN_ISSUER = (2, 18, 19, 20, 21)
_NAME_MISMATCH = (62, 64)

# Alerts of RFC 8446, section 6.2, as OpenSSL names them.
_REFUSALS = {
    "CERTIFICATE_REQUIRED": "it got none",
    "UNKNOWN_CA": "it does not know the authority that signed it",
    "CERTIFICATE_EXPIRED": "it holds it for expired",
    "CERTIFICATE_REVOKED": "it holds it for revoked",
    "CERTIFICATE_UNKNOWN": "it does not accept it",
    "BAD_CERTIFICATE": "it holds it for invalid",
    "UNSUPPORTED_CERTIFICATE": "it is not for use by a client",
    "ACCESS_DENIED": "it denies access",
    "DECRYPT_ERROR": "it cannot verify its signature",
}
# What OpenSSL makes of an answer in another protocol, over its versions.
_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")


def diagnose_endpoint(
    address: Address, credentials: Credentials, *, deadline_s: float = DEADLINE_S
) -> NearfieldError | None:
    """Try TLS to a zipper and say what is wrong, or None when all is well. Blocks for about `deadline_s` at most.

    Where no certificate is asked for, try a session over TLS as well, for up to 1.5 s more: it shows whether our token
    is the reason.

    None after a failed QUIC connection points to UDP: a firewall, or a listener that is stalled. An IPv6 address is
    always an error: zenoh 1.10 takes `[::1]`, brackets included, for the server's name, and TLS refuses such a name.

    Returns:
        A CertificateError when certificates, theirs or ours, are the reason, a RefusedError when it is the token:
        trying again is of no use. A TransportError for everything else.
    """
    if ":" in address.host:
        hint = "use a host name that resolves to it"
        return TransportError("IPv6 addresses cannot be used for TLS by zenoh", where=str(address), hint=hint)
    attempt = _Attempt(address, credentials, time.monotonic() + deadline_s, deadline_s)
    try:
        attempt.run()
        if not attempt.needs_certificate():
            attempt.check_token()
    except NearfieldError as error:
        return error
    return None


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One diagnosis: the target, and the moment on the monotonic clock by which it ends."""

    address: Address
    credentials: Credentials
    deadline: float
    deadline_s: float

    def run(self, *, certified: bool = True) -> None:
        """Raise the error that explains why TLS fails, if it does.

        Args:
            certified: show our certificate, if we have one.
        """
        context = self.context(certified=certified)
        with self.connect() as connection:
            try:
                with context.wrap_socket(connection, server_hostname=self.address.host) as secured:
                    self.await_verdict(secured)
            except ssl.SSLCertVerificationError as error:
                self.raise_unaccepted(error)
            except TimeoutError as error:
                what = f"took the connection, but no TLS handshake within {self.deadline_s:g} s"
                raise self.transport_error(what, hint="is this the port of a zipper?") from error
            except (ssl.SSLEOFError, ConnectionError) as error:
                raise self.transport_error("closed the connection during the TLS handshake") from error
            except ssl.SSLError as error:
                self.raise_failed(error)

    def needs_certificate(self) -> bool:
        """Whether the zipper refuses those who show no certificate. Asked once `run` found nothing wrong."""
        if not isinstance(self.credentials, Identity):
            return False
        try:
            self.run(certified=False)
        except NearfieldError:
            return True
        return False

    def check_token(self) -> None:
        """Raise the error that says what is wrong with our token, or that there is none, if that is the reason."""
        if is_let_in(self.address, self.credentials):
            return
        where, token = str(self.address), self.credentials.token
        if token is None:
            hint = "set NEARFIELD_TOKEN=NAME:TOKEN, or use --token-file"
            raise RefusedError("it asks for a token, and we have none", where=where, hint=hint)
        what = f"refused our token: it has none of name `{token.name}`, or another one"
        raise RefusedError(what, where=where, hint="does its workflow say `auth: {type: token}`?")

    def await_verdict(self, secured: ssl.SSLSocket) -> None:
        """Wait for what the server says of our certificate; silence means consent."""
        secured.settimeout(min(_VERDICT_WAIT_S, self.remaining_s()))
        try:
            if secured.recv(1):
                return
        except TimeoutError:
            return
        except ConnectionError:
            pass
        raise self.transport_error("closed the connection right after the TLS handshake")

    def raise_failed(self, error: ssl.SSLError) -> NoReturn:
        reason = error.reason or ""
        if reason.endswith("ALERT_CERTIFICATE_REQUIRED") and not isinstance(self.credentials, Identity):
            hint = "use --ca, --certificate and --key"
            raise self.certificate_error("it asks for a certificate, and we have none", hint=hint) from error
        for alert, meaning in _REFUSALS.items():
            if reason.endswith(f"ALERT_{alert}"):
                raise self.certificate_error(f"refused our certificate: {meaning}", hint=self.our_files()) from error
        if reason in _NOT_TLS:
            raise self.transport_error("answers, but not with TLS", hint="is this the port of a zipper?") from error
        raise self.transport_error(f"the TLS handshake failed: {_reason(error)}") from error

    def raise_unaccepted(self, error: ssl.SSLCertVerificationError) -> NoReturn:
        seen = self.peer_certificate()
        if error.verify_code in _NAME_MISMATCH:
            names = ", ".join(f"`{name}`" for name in names_in(seen)) if seen else ""
            what = f"its certificate is not for `{self.address.host}`, but for {names or 'other names'}"
        elif error.verify_code == _EXPIRED:
            what = "its certificate expired" + (f" on {seen.not_valid_after_utc:%Y-%m-%d %H:%M} UTC" if seen else "")
        elif error.verify_code == _NOT_YET_VALID:
            date = f" before {seen.not_valid_before_utc:%Y-%m-%d %H:%M} UTC" if seen else ""
            what = f"its certificate is not valid{date}; check the clock of this machine"
        elif error.verify_code in _UNKNOWN_ISSUER:
            issuer = f" ({describe_name(seen.issuer)})" if seen else ""
            what = f"its certificate is signed by an authority{issuer} that is not in `{self.credentials.ca_pem_path}`"
        else:
            what = f"its certificate is not accepted: {error.verify_message}"
        raise self.certificate_error(what) from error

    def peer_certificate(self) -> x509.Certificate | None:
        """The server's certificate, unverified, for the message; None if a second handshake gives none."""
        context = self.context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            host = self.address.host
            with self.connect() as connection, context.wrap_socket(connection, server_hostname=host) as secured:
                encoded = secured.getpeercert(binary_form=True)
            return None if encoded is None else x509.load_der_x509_certificate(encoded)
        except (NearfieldError, OSError, ValueError):
            return None

    def context(self, *, certified: bool = True) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            context.load_verify_locations(self.credentials.ca_pem_path)
            if certified and isinstance(self.credentials, Identity):
                # An empty password instead of None: an encrypted key must not make OpenSSL ask on the terminal.
                context.load_cert_chain(self.credentials.certificate_path, self.credentials.key_path, password="")
        except (OSError, ValueError) as error:
            what = f"our own certificates cannot be used: {_reason(error)}"
            raise self.certificate_error(what, hint=self.our_files()) from error
        return context

    def connect(self) -> socket.socket:
        """A TCP connection whose timeout is the time left.

        Raises:
            TransportError: there is none, and why.
        """
        failure = self.unanswered()
        for host in self.resolve():
            try:
                connection = socket.create_connection((host, self.address.port), timeout=self.remaining_s())
            except ConnectionRefusedError:
                failure = self.transport_error("nothing listens there", hint="is the zipper running?")
            except TimeoutError:
                raise self.unanswered() from None
            except OSError as error:
                failure = self.transport_error(f"cannot be reached: {_reason(error)}")
            else:
                connection.settimeout(self.remaining_s())
                return connection
        raise failure

    def resolve(self) -> list[str]:
        """Addresses of the host. Resolvers know no timeout, so one that hangs is left behind in its thread."""
        found: list[str] = []
        failures: list[str] = []

        def look_up() -> None:
            try:
                entries = socket.getaddrinfo(self.address.host, self.address.port, type=socket.SOCK_STREAM)
                found.extend(dict.fromkeys(str(entry[4][0]) for entry in entries))
            except (OSError, UnicodeError) as error:
                failures.append(_reason(error))

        thread = threading.Thread(target=look_up, name="resolve", daemon=True)
        thread.start()
        thread.join(self.remaining_s())
        if not found:
            reason = failures[0] if failures else f"no answer from the resolver within {self.deadline_s:g} s"
            raise self.transport_error(f"the name does not resolve: {reason}")
        return found

    def remaining_s(self) -> float:
        return max(_SHORTEST_WAIT_S, self.deadline - time.monotonic())

    def unanswered(self) -> TransportError:
        return self.transport_error(f"no answer within {self.deadline_s:g} s", hint="is a firewall in the way?")

    def our_files(self) -> str:
        ours = self.credentials
        return f"ours is `{ours.certificate_path if isinstance(ours, Identity) else ours.ca_pem_path}`"

    def transport_error(self, what: str, *, hint: str | None = None) -> TransportError:
        return TransportError(what, where=str(self.address), hint=hint)

    def certificate_error(self, what: str, *, hint: str | None = None) -> CertificateError:
        return CertificateError(what, where=str(self.address), hint=hint)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text[:1].lower() + text[1:]
