"""Sending frames."""

from nearfield.source.async_source import AsyncSource
from nearfield.source.source import Source
from nearfield.source.statistics import SourceStatistics

__all__ = ["AsyncSource", "Source", "SourceStatistics"]
