"""The workflow file as types. One field's own rules stand here; rules between fields in `validate`.

A field's key in the file is its `name=` where that differs from the attribute, which carries its unit. Durations are
seconds, sizes bytes, paths absolute once a workflow was read from a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from nearfield.frame.names import MAX_NAME_LENGTH
from nearfield.frame.tag import MAX_TAG

NAME_EXPECTED = f"1 to {MAX_NAME_LENGTH} letters, digits, `-`, `_` or `.`, beginning with a letter, digit or `_`"

Name = Annotated[str, Meta(extra={"reads": "name"}, extra_json_schema={"written": "name"})]
Tag = Annotated[int, Meta(extra={"reads": "tag"}, extra_json_schema={"written": "tag"}, ge=0, le=MAX_TAG)]
Duration = Annotated[float, Meta(extra={"reads": "duration"}, extra_json_schema={"written": "duration"}, gt=0)]
Size = Annotated[int, Meta(extra={"reads": "size"}, extra_json_schema={"written": "size"}, ge=1)]
FilePath = Annotated[Path, Meta(extra={"reads": "path"}, extra_json_schema={"written": "path"})]
Text = Annotated[str, Meta(min_length=1, max_length=200)]


class DeliveryConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What happens to a function's frames when it is slower than its sources, or dies.

    Attributes:
        mode: `live` drops the oldest and never blocks a source; `complete` holds the source back and loses nothing.
        queue: frames waiting in the zipper for this function, at most.
        max_age_s: a frame older than this is dropped; None: frames never grow stale. Only for `live`.
        retries: how often a frame is handed out again after an instance died with it.
    """

    mode: Literal["live", "complete"] = "live"
    queue: Annotated[int, Meta(ge=1, le=65536)] = 32
    max_age_s: Duration | None = field(default=None, name="max_age")
    retries: Annotated[int, Meta(ge=0, le=100)] = 2


class SandboxConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits of a WebAssembly guest, each for one frame.

    Attributes:
        instance: `frame`: a fresh sandbox for each frame; `worker`: one that keeps its memory between frames.
    """

    instance: Literal["frame", "worker"] = "frame"
    deadline_s: Duration = field(default=1.0, name="deadline")
    memory_bytes: Size = field(default=256 * 2**20, name="memory")
    table_elements: Annotated[int, Meta(ge=0, le=10_000_000)] = 10_000
    output_bytes: Size = field(default=16 * 2**20, name="output")
    emitted_frames: Annotated[int, Meta(ge=0, le=1_000_000)] = 256
    log_lines: Annotated[int, Meta(ge=0, le=1_000_000)] = 100
    module_bytes: Size = field(default=64 * 2**20, name="module")
    handles: Annotated[int, Meta(ge=1, le=65536)] = 64


class FunctionConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One stream function.

    Attributes:
        observe: tags it receives; empty: those it asks for itself when it connects.
        emit: tags it may send; empty: any that is not reserved.
        run: the guest or program that the zipper starts; None: the function connects by itself.
        instances: workers that the zipper starts.
        models: names of the models it may use; None: all of them.
        entry: the export to call, for guests that leave a choice.
        credits: frames handed to one instance before it has finished the first.
    """

    name: Name
    observe: Annotated[tuple[Tag, ...], Meta(min_length=1)] = ()
    emit: Annotated[tuple[Tag, ...], Meta(min_length=1)] = ()
    run: FilePath | None = None
    instances: Annotated[int, Meta(ge=1, le=256)] = 1
    delivery: DeliveryConfig = DeliveryConfig()
    sandbox: SandboxConfig = SandboxConfig()
    models: tuple[Name, ...] | None = None
    entry: Text | None = None
    credits: Annotated[int, Meta(ge=1, le=64)] = 2


class ModelConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model file.

    Attributes:
        labels: a text file with one class name a line.
        threads: that one inference may use.
    """

    path: FilePath
    labels: FilePath | None = None
    threads: Annotated[int, Meta(ge=1, le=256)] = 1


class CertificateConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """PEM files for mutual TLS; left out, a local development authority is used."""

    ca: FilePath
    certificate: FilePath
    key: FilePath


class LimitsConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits of the zipper itself.

    Attributes:
        max_payload_bytes: of one frame; larger ones are refused where they enter.
    """

    # 16 MiB: a 1080p RGB picture (6.2 MB) passes, a 4K one (24.9 MB) is refused.
    max_payload_bytes: Size = field(default=16 * 2**20, name="max_payload")


class Workflow(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A zipper, and the stream functions it serves.

    Attributes:
        host: address or name to listen on.
        models: by name; the first is also the default one.
        peers: other zippers.
        namespace: keeps workflows apart that share a mesh.
        certificates: None: the local development authority.
    """

    name: Text
    host: Annotated[str, Meta(extra={"reads": "host"}, extra_json_schema={"written": "host"})] = "0.0.0.0"
    port: Annotated[int, Meta(ge=1, le=65535)] = 9900
    functions: tuple[FunctionConfig, ...]
    models: dict[Name, ModelConfig] = field(default_factory=dict)
    peers: tuple[Text, ...] = ()
    namespace: Name = "default"
    certificates: CertificateConfig | None = None
    limits: LimitsConfig = LimitsConfig()
