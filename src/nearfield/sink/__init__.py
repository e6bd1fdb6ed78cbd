"""Receiving frames."""

from nearfield.sink.sink import Sink

__all__ = ["Sink"]
