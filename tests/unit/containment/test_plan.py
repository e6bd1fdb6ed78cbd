"""What a plan allows, and what it leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from nearfield.cli.contained import gpu_devices
from nearfield.containment import ContainmentPlan, PythonInstallation, plan_for_guest
from nearfield.containment.plan import GPU_READABLE, SYSTEM_DEVICES, SYSTEM_READABLE
from nearfield.containment.python import import_directories
from nearfield.inference import Device, ModelSource

MIB = 1024**2
STATE = Path("/var/lib/nearfield")
PYTHON = PythonInstallation((Path("/venv/lib"),), (Path("/src"),), (Path("/usr/bin/python3"),))


def a_plan(
    model_bytes: int = 0,
    module_bytes: int = 64 * MIB,
    guest_memory_bytes: int = 256 * MIB,
    gpu: Sequence[Path] = (),
) -> ContainmentPlan:
    return plan_for_guest(
        Path("guest.wasm"),
        models=[Path("parts.tflite"), Path("labels.txt")],
        certificates=[STATE / "certificates" / name for name in ("ca.pem", "client.pem", "client.key")],
        writable=[STATE / "modules", STATE / "models"],
        tcp_ports=[9900],
        python=PYTHON,
        guest_memory_bytes=guest_memory_bytes,
        module_bytes=module_bytes,
        model_bytes=model_bytes,
        granted_readable=[Path("/data")],
        granted_writable=[Path("/out")],
        gpu_devices=gpu,
    )


def test_the_authoritys_key_beside_the_own_certificate_is_not_readable() -> None:
    key = STATE / "certificates" / "ca.key"
    assert not any(key.is_relative_to(path) for path in a_plan().readable)


def test_nothing_of_the_system_that_is_secret_is_readable() -> None:
    secrets = [
        "/etc/shadow",
        "/etc/passwd",
        "/etc/ssl/private/x.key",
        "/root/.ssh/id",
        "/home/u/.ssh/id",
        "/proc/1/environ",
    ]
    for secret in map(Path, secrets):
        assert not any(secret.is_relative_to(path) for path in SYSTEM_READABLE), secret


def test_the_state_directory_is_writable_in_two_places_only() -> None:
    plan = a_plan()
    assert plan.writable == (STATE / "modules", STATE / "models")
    assert plan.granted == (Path("/out"),)


def test_everything_that_the_guest_is_made_of_is_readable() -> None:
    readable = a_plan().readable
    assert {Path("guest.wasm"), Path("parts.tflite"), Path("labels.txt"), Path("/venv/lib"), Path("/data")} <= {
        *readable
    }


def test_tcp_is_for_the_zipper_and_for_names() -> None:
    assert a_plan().tcp_ports == (53, 9900)


def test_memory_grows_with_the_guest_and_its_models() -> None:
    small = a_plan().limits
    large = a_plan(model_bytes=500 * MIB, guest_memory_bytes=512 * MIB).limits
    assert large.data_bytes - small.data_bytes == 6 * 500 * MIB + 256 * MIB
    assert small.data_bytes >= 2048 * MIB + 256 * MIB


def test_compiled_module_fits_the_largest_file() -> None:
    assert a_plan(module_bytes=MIB).limits.file_bytes == 64 * MIB
    assert a_plan(module_bytes=64 * MIB).limits.file_bytes == 256 * MIB


def test_directories_that_hold_the_home_or_working_directory_are_no_place_to_import_from() -> None:
    home, current = Path("/home/u"), Path("/srv/job")
    entries = [Path(text) for text in ("", ".", "/", "/home", "/home/u", "/srv/job", "/home/u/src", "/opt/packages")]
    assert import_directories(entries, current, home) == [Path("/home/u/src"), Path("/opt/packages")]


def test_this_python_is_found() -> None:
    found = PythonInstallation.current()
    package = Path(__import__("nearfield").__file__).parent
    assert package in found.readable
    assert package.parent in found.listable
    assert all(path.is_absolute() for path in (*found.readable, *found.listable, *found.executable))
    assert all(path.is_file() and not path.is_symlink() for path in found.executable)
    # The interpreter and the loader of its libraries.
    assert len(found.executable) == 2


def test_graphics_processors_are_for_models_that_may_compute_there() -> None:
    without, with_one = a_plan(), a_plan(gpu=[Path("/dev/nvidia0")])
    assert without.devices == SYSTEM_DEVICES
    assert with_one.devices == (*SYSTEM_DEVICES, Path("/dev/nvidia0"))
    assert {*with_one.readable} - {*without.readable} == {*GPU_READABLE}
    assert with_one.limits.data_bytes > without.limits.data_bytes


@pytest.mark.parametrize(
    ("device", "found"),
    [(Device.CPU, []), (Device.CUDA, ["nvidia0", "nvidiactl"]), (Device.AUTO, ["nvidia0", "nvidiactl"])],
)
def test_device_files_are_looked_up_when_a_model_wants_them(tmp_path: Path, device: Device, found: list[str]) -> None:
    for name in ("nvidiactl", "nvidia0", "null"):
        (tmp_path / name).touch()
    (tmp_path / "nvidia-caps").mkdir()
    models = [ModelSource(Path("a.onnx")), ModelSource(Path("b.onnx"), device=device)]
    assert [path.name for path in gpu_devices(models, tmp_path)] == found
