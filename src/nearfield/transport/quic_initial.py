"""The first packet of a QUIC client, made by hand: to see whether a listener answers. Pure.

After RFC 9000 (section 17.2.2) and RFC 9001 (section 5).
"""

from __future__ import annotations

import os
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

VERSION_1 = 1
# Begins no handshake that TLS knows, so that whoever reads it ends the connection at once, and says so.
NO_HANDSHAKE = b"\xff\x00\x00\x00"
# Of version 1 (RFC 9001, section 5.2).
_SALT = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")
# Smaller datagrams are ignored by servers (RFC 9000, section 14.1).
DATAGRAM_BYTES = 1_200
_LENGTH_BYTES, _NUMBER_BYTES, _TAG_BYTES = 2, 4, 16


def initial_packet(crypto: bytes, *, connection: bytes = b"", number: int = 0) -> bytes:
    """A datagram of 1,200 bytes that opens a connection with the first bytes of a TLS handshake; at most 1,000.

    Args:
        connection: 8 bytes that tell it from others; none: a new one.
        number: of the packet within its connection.
    """
    destination, source = connection or os.urandom(8), b""
    key, iv, protection = _client_keys(destination)
    beginning = bytes([0xC0 | (_NUMBER_BYTES - 1)]) + struct.pack(">I", VERSION_1)
    beginning += bytes([len(destination)]) + destination + bytes([len(source)]) + source + b"\x00"
    room = DATAGRAM_BYTES - len(beginning) - _LENGTH_BYTES
    length = struct.pack(">H", 0x4000 | room)
    number_bytes = number.to_bytes(_NUMBER_BYTES)
    frames = b"\x06" + _varint(0) + _varint(len(crypto)) + crypto
    plain = frames.ljust(room - _NUMBER_BYTES - _TAG_BYTES, b"\x00")
    header = beginning + length + number_bytes
    nonce = (int.from_bytes(iv) ^ number).to_bytes(len(iv))
    sealed = AESGCM(key).encrypt(nonce, plain, header)
    mask = _mask(protection, sealed[:16])
    first = bytes([header[0] ^ (mask[0] & 0x0F)])
    hidden = bytes(byte ^ other for byte, other in zip(number_bytes, mask[1:], strict=False))
    return first + header[1:-_NUMBER_BYTES] + hidden + sealed


def _client_keys(destination: bytes) -> tuple[bytes, bytes, bytes]:
    mac = HMAC(_SALT, hashes.SHA256())
    mac.update(destination)
    secret = _expand(mac.finalize(), "client in", 32)
    return _expand(secret, "quic key", 16), _expand(secret, "quic iv", 12), _expand(secret, "quic hp", 16)


def _expand(secret: bytes, label: str, length: int) -> bytes:
    name = f"tls13 {label}".encode()
    info = struct.pack(">H", length) + bytes([len(name)]) + name + b"\x00"
    return HKDFExpand(hashes.SHA256(), length, info).derive(secret)


def _mask(key: bytes, sample: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # as header protection is defined
    return encryptor.update(sample) + encryptor.finalize()


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 64 else struct.pack(">H", 0x4000 | value)
