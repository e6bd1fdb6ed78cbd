"""`nearfield version`."""

from __future__ import annotations

import contextlib
import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

from nearfield.cli import options
from nearfield.cli.output import say, say_json
from nearfield.version import __version__

_ENGINES = ("eclipse-zenoh", "wasmtime", "ai-edge-litert", "onnxruntime", "onnxruntime-gpu", "openvino", "av")


def version(json: options.Json = False) -> None:
    """Print the versions of nearfield and of the engines it runs on."""
    engines = engine_versions()
    if json:
        say_json({"nearfield": __version__, "python": platform.python_version(), **engines})
        return
    say(f"nearfield {__version__}")
    say(f"python {platform.python_version()}, " + ", ".join(f"{name} {number}" for name, number in engines.items()))


def engine_versions() -> dict[str, str]:
    """Versions of the native engines that are installed, by the name of their package."""
    versions = {}
    for name in _ENGINES:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = installed(name)
    return versions
