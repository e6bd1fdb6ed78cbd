"""Receiving frames."""

from nearfield.sink.async_sink import AsyncSink
from nearfield.sink.sink import Sink
from nearfield.sink.statistics import SinkStatistics

__all__ = ["AsyncSink", "Sink", "SinkStatistics"]
