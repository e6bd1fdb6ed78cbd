"""The first packet of a QUIC client, against the vectors of the standard."""

from __future__ import annotations

from nearfield.transport.quic_initial import DATAGRAM_BYTES, NO_HANDSHAKE, _client_keys, initial_packet

# RFC 9001, appendix A.1.
CONNECTION = bytes.fromhex("8394c8f03e515708")


def test_keys_are_those_of_the_standard() -> None:
    assert [part.hex() for part in _client_keys(CONNECTION)] == [
        "1f369613dd76d5467730efcbe3b1a22d",
        "fa044b2f42a3fd3b46fb255c",
        "9f50449e04a0e810283a1e9933adedd2",
    ]


def test_packet_has_the_size_that_servers_read_and_names_its_connection() -> None:
    packet = initial_packet(NO_HANDSHAKE, connection=CONNECTION)
    assert len(packet) == DATAGRAM_BYTES
    assert packet[0] & 0xF0 == 0xC0, "long header, Initial"
    assert packet[1:14] == (1).to_bytes(4) + bytes([8]) + CONNECTION


def test_packets_are_of_connections_of_their_own() -> None:
    assert initial_packet(NO_HANDSHAKE)[6:14] != initial_packet(NO_HANDSHAKE)[6:14]
