"""Sending frames."""

from nearfield.source.source import AsyncSource, Source, SourceStatistics

__all__ = ["AsyncSource", "Source", "SourceStatistics"]
