"""The table agrees with the kernel headers of this machine, where they are installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nearfield.containment.syscalls import MACHINES

HEADERS = {
    "x86_64": [Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm/unistd_64.h")],
    "aarch64": [Path("/usr/include/asm-generic/unistd.h")],
}


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_are_those_of_the_kernel_headers(machine: str) -> None:
    header = next((path for path in HEADERS[machine] if path.is_file()), None)
    if header is None:
        pytest.skip(f"no kernel headers for {machine}")
    found = {
        name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text())
    }
    ours = MACHINES[machine].numbers
    # Headers older than a call do not have it; what both have must agree.
    assert {name: number for name, number in ours.items() if name in found} == {
        name: found[name] for name in ours if name in found
    }
    assert len(ours.keys() & found.keys()) > 60
