"""Stream functions: the Python API, guests as handlers, and the worker that runs either."""

from nearfield.function.context import Context
from nearfield.function.emission import EmissionRules
from nearfield.function.handler import Handler, PythonFunction, describe_raised
from nearfield.function.stream_function import StreamFunction
from nearfield.function.worker import Worker, WorkerSettings, WorkerStatistics

__all__ = [
    "Context",
    "EmissionRules",
    "Handler",
    "PythonFunction",
    "StreamFunction",
    "Worker",
    "WorkerSettings",
    "WorkerStatistics",
    "describe_raised",
]
