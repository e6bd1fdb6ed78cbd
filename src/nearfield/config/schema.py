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
from nearfield.frame.token import DEFAULT_TOKEN_NAME

NAME_EXPECTED = f"1 to {MAX_NAME_LENGTH} letters, digits, `-`, `_` or `.`, beginning with a letter, digit or `_`"

Name = Annotated[str, Meta(extra={"reads": "name"}, extra_json_schema={"written": "name"})]
Tag = Annotated[int, Meta(extra={"reads": "tag"}, extra_json_schema={"written": "tag"}, ge=0, le=MAX_TAG)]
Duration = Annotated[float, Meta(extra={"reads": "duration"}, extra_json_schema={"written": "duration"}, gt=0)]
Size = Annotated[int, Meta(extra={"reads": "size"}, extra_json_schema={"written": "size"}, ge=1)]
FilePath = Annotated[Path, Meta(extra={"reads": "path"}, extra_json_schema={"written": "path"})]
Text = Annotated[str, Meta(min_length=1, max_length=200)]
Secret = Annotated[str, Meta(extra={"reads": "secret"}, extra_json_schema={"written": "secret"})]
Tags = tuple[Tag, ...] | Literal["all"]
Sha256 = Annotated[str, Meta(extra={"reads": "sha256"}, extra_json_schema={"written": "sha256"})]
Signer = Annotated[str, Meta(extra={"reads": "signer"}, extra_json_schema={"written": "signer"})]


class DeliveryConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What happens to a function's frames when it is slower than its sources, or dies.

    Attributes:
        mode: `live` drops the oldest and never blocks a source; `complete` holds the source back and loses nothing.
        queue: frames waiting in the zipper for this function, at most (`live`). Small, since what waits grows old: a
            function that is too slow for 30 frames/s is this many of its own frames behind.
        max_age_s: a frame older than this is dropped; None: frames never grow stale. Only for `live`.
        retries: how often a frame is handed out again after an instance died with it, or hung on it.
        order: `source` keeps the frames of one source in order, on one instance while it holds any of them.
        timeout_s: an instance that is at one frame for longer is given up, and its frames go to others. None: for a
            guest that the zipper starts its own deadline, grace, and 2 s; for everything else 60 s.
        dead_letter: tag under which frames are published that could not be handled; None: they are only counted.
    """

    mode: Literal["live", "complete"] = "live"
    queue: Annotated[int, Meta(ge=1, le=65536)] = 8
    max_age_s: Duration | None = field(default=None, name="max_age")
    retries: Annotated[int, Meta(ge=0, le=100)] = 2
    order: Literal["none", "source"] = "none"
    timeout_s: Duration | None = field(default=None, name="timeout")
    dead_letter: Tag | None = None


class DirectoryConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A directory that a guest may read.

    Attributes:
        host: the directory on this machine.
        guest: the path under which the guest finds it, such as `/data`.
        write: whether it may also change what is in it.
    """

    host: FilePath
    guest: Text
    write: bool = False


class GrantsConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a guest gets of this machine beyond its frames and models; left out, clocks and randomness alone.

    Attributes:
        environment: variables that it sees.
        directories: directories that it sees.
        clock_resolution_s: its clocks are rounded down to this, at most 1 s.
        random_seed: None: real randomness; a number: the same for each frame whenever it is handled again.
        http_hosts: hosts that it may send HTTP requests to, each with or without a port (then 80 and 443).
    """

    environment: dict[Name, Annotated[str, Meta(max_length=4096)]] = field(default_factory=dict)
    directories: tuple[DirectoryConfig, ...] = ()
    clock_resolution_s: Duration = field(default=1e-6, name="clock_resolution")
    random_seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    http_hosts: tuple[Text, ...] = ()


class SandboxConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits of a WebAssembly guest, and what it is granted.

    The limits are those of `nearfield.sandbox.Limits`, which tells what each means.

    Attributes:
        instance: `frame`: a fresh sandbox for each frame; `worker`: one that keeps its memory between frames.
        pixels: how pictures are scaled: `align-corners` as WasmEdge up to 0.14, `smooth` as WasmEdge from 0.15 on,
            `auto`: as the one that the imported function comes from.
        exact_pixels: to the last bit as the original, at full size first.
        allow_precompiled: run compiled code from a file, which is native code outside of every sandbox.
        grants: what it gets of this machine.
    """

    instance: Literal["frame", "worker"] = "frame"
    deadline_s: Duration = field(default=1.0, name="deadline")
    host_time_s: Duration | None = field(default=None, name="host_time")
    grace_s: Duration = field(default=5.0, name="grace")
    memory_bytes: Size = field(default=256 * 2**20, name="memory")
    table_elements: Annotated[int, Meta(ge=1, le=10_000_000)] = 10_000
    output_bytes: Size = field(default=16 * 2**20, name="output")
    emitted_frames: Annotated[int, Meta(ge=1, le=1_000_000)] = 256
    log_lines: Annotated[int, Meta(ge=1, le=1_000_000)] = 100
    log_bytes_per_s: Size = field(default=64 * 2**10, name="log_rate")
    handles: Annotated[int, Meta(ge=1, le=65536)] = 64
    files: Annotated[int, Meta(ge=1, le=1024)] = 32
    model_bytes: Size = field(default=64 * 2**20, name="loaded_models")
    models_total_bytes: Size = field(default=256 * 2**20, name="loaded_models_total")
    picture_bytes: Size = field(default=16 * 2**20, name="picture")
    picture_pixels: Annotated[int, Meta(ge=1, le=2**28)] = 4096 * 4096
    picture_scans: Annotated[int, Meta(ge=1, le=65536)] = 64
    module_bytes: Size = field(default=64 * 2**20, name="module")
    compile_s: Duration = field(default=30.0, name="compile_time")
    compile_memory_bytes: Size = field(default=2 * 2**30, name="compile_memory")
    pixels: Literal["auto", "align-corners", "smooth"] = "auto"
    exact_pixels: bool = False
    allow_precompiled: bool = False
    grants: GrantsConfig = GrantsConfig()


class FunctionConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One stream function.

    Attributes:
        observe: tags it receives; empty: those it asks for itself when it connects.
        emit: tags it may send; empty: any that is not reserved.
        run: the guest or program that the zipper starts; None: the function connects by itself.
        sha256: of the file that `run` names, verified on the very bytes that are compiled.
        instances: workers that the zipper starts.
        models: names of the models it may use; None: all of them.
        entry: the export to call, for guests that leave a choice.
        credits: frames handed to one instance before it has finished the first; None: 2, and up to 256 while it is done
            with them quickly.
        priority: of the frames it emits.
        emit_kind: what it may emit at all; `nearfield.function.emission` tells what each means. None: any bytes.
        emit_bytes: most bytes of one emitted payload. With `emit_kind` alone.
        emit_bytes_per_s: of each instance, a small charge for each emitted frame included. With `emit_kind` alone.
    """

    name: Name
    observe: Annotated[tuple[Tag, ...], Meta(min_length=1)] = ()
    emit: Annotated[tuple[Tag, ...], Meta(min_length=1)] = ()
    run: FilePath | None = None
    sha256: Sha256 | None = None
    instances: Annotated[int, Meta(ge=1, le=256)] = 1
    delivery: DeliveryConfig = DeliveryConfig()
    sandbox: SandboxConfig = SandboxConfig()
    models: tuple[Name, ...] | None = None
    entry: Text | None = None
    credits: Annotated[int, Meta(ge=1, le=64)] | None = None
    priority: Literal["normal", "high", "low"] = "normal"
    emit_kind: Literal["text", "json", "boxes"] | None = None
    emit_bytes: Size = 4 * 2**10
    emit_bytes_per_s: Size = field(default=4 * 2**10, name="emit_rate")

    @property
    def run_file(self) -> Path | None:
        """The file that `run` names: of a program `app.py:name`, what is before the colon."""
        if self.run is None:
            return None
        file, colon, _ = self.run.name.rpartition(":")
        return self.run.with_name(file) if colon and file.endswith(".py") else self.run


class BatchConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How frames are put together for one inference.

    Attributes:
        max_frames: at most this many.
        wait_s: the longest that the first of them waits for others.
    """

    max_frames: Annotated[int, Meta(ge=1, le=256)] = field(default=8, name="max")
    wait_s: Duration = field(default=0.002, name="wait")


class ModelConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model file.

    Attributes:
        path: for OpenVINO the XML; the weights lie beside it, with the ending `.bin`.
        labels: a text file with one class name a line.
        sha256: of the file, verified when it is loaded; for OpenVINO of the XML followed by the weights.
        backend: None: as the file itself tells.
        device: where it computes; `auto` takes the CPU where there is no CUDA, and says so.
        threads: that one inference may use.
        batch: None: one frame at a time.
    """

    path: FilePath
    labels: FilePath | None = None
    sha256: Sha256 | None = None
    backend: Literal["litert", "onnxruntime", "openvino"] | None = None
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    threads: Annotated[int, Meta(ge=1, le=256)] = 1
    batch: BatchConfig | None = None


class CertificateConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """PEM files for mutual TLS; left out, a local development authority is used."""

    ca: FilePath
    certificate: FilePath
    key: FilePath


class AuthConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How clients say who they are. Values of tokens are `HiddenText`, whose representation hides them.

    Attributes:
        type: `certificate`: mutual TLS; `token`: a name and a token, while only the zipper shows a certificate.
        token: the one token, of the identity `default`.
        tokens: by the name of the identity that has it.
    """

    type: Literal["certificate", "token"] = "certificate"
    token: Secret | None = None
    tokens: dict[Name, Secret] = field(default_factory=dict)

    def by_name(self) -> dict[str, str]:
        """All tokens, whichever way they were written."""
        return {DEFAULT_TOKEN_NAME: self.token, **self.tokens} if self.token is not None else dict(self.tokens)


class LimitsConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits of the zipper itself.

    Attributes:
        max_payload_bytes: of one frame; larger ones are refused where they enter.
        queue_bytes: payloads that wait in the zipper for functions, in all queues together.
        source_frames_per_s, source_bytes_per_s: of one source; what exceeds it is refused. None: no limit.
    """

    # 16 MiB: a 1080p RGB picture (6.2 MB) passes, a 4K one (24.9 MB) is refused.
    max_payload_bytes: Size = field(default=16 * 2**20, name="max_payload")
    queue_bytes: Size = 256 * 2**20
    source_frames_per_s: Annotated[float, Meta(gt=0, le=1_000_000)] | None = None
    source_bytes_per_s: Size | None = None


class RightConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one identity may do in a namespace: nothing but what stands here.

    Attributes:
        send: tags that it may send as a source.
        origins: names under which it sends and receives results, or their beginnings: `cam-*`. Left out: its own name.
        function: of which it may be an instance, or several of them; the function's entry says what it observes and
            emits.
        observe: tags that it may receive as a sink.
        zipper: whether it is another zipper, with which this one forms a mesh.
        ledger: whether it may ask what became of every frame (`nearfield top`).
        max_payload_bytes: of what it sends and emits; None: as `limits` says for all.
    """

    send: Tags = ()
    origins: Annotated[tuple[Text, ...], Meta(min_length=1)] = ()
    function: Name | tuple[Name, ...] = ()
    observe: Tags = ()
    zipper: bool = False
    ledger: bool = False
    max_payload_bytes: Size | None = field(default=None, name="max_payload")


class NamespaceConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Another tenant of the zipper: functions and rights of its own, and no way to the others.

    Attributes:
        rights: as those of the workflow.
    """

    functions: tuple[FunctionConfig, ...]
    rights: dict[Name, RightConfig] | None = None


class Workflow(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A zipper, and the stream functions it serves.

    Attributes:
        host: address or name to listen on.
        second_port: listen there as well, for clients that know both addresses.
        models: by name; the first is also the default one.
        peers: other zippers, with which this one forms a mesh; it is enough when one of two names the other. Every
            zipper of a mesh needs a name of its own.
        namespace: keeps workflows apart that share a mesh.
        rights: by identity, in `namespace`; None: each identity may do what the role says with which it was issued.
        namespaces: further ones on the same zipper, by name.
        certificates: None: the local development authority.
        require_signed: load a guest, a program or a model only when one of `trusted_signers` has signed it.
        trusted_signers: public keys: base64, or the absolute path of a PEM file.
        insecure: let everyone in who reaches the port, with all rights.
    """

    name: Text
    host: Annotated[str, Meta(extra={"reads": "host"}, extra_json_schema={"written": "host"})] = "0.0.0.0"
    port: Annotated[int, Meta(ge=1, le=65535)] = 9900
    second_port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    functions: tuple[FunctionConfig, ...]
    models: dict[Name, ModelConfig] = field(default_factory=dict)
    peers: tuple[Text, ...] = ()
    namespace: Name = "default"
    rights: dict[Name, RightConfig] | None = None
    namespaces: dict[Name, NamespaceConfig] = field(default_factory=dict)
    certificates: CertificateConfig | None = None
    require_signed: bool = False
    trusted_signers: Annotated[tuple[Signer, ...], Meta(min_length=1)] = ()
    auth: AuthConfig = AuthConfig()
    insecure: bool = False
    limits: LimitsConfig = LimitsConfig()
