"""`nearfield inspect --host`: what this machine offers for the containment of workers."""

from __future__ import annotations

from dataclasses import asdict

from nearfield.cli.output import say, say_json
from nearfield.cli.version import engine_versions
from nearfield.containment import HostReport, host_report

GIB = 1024**3
MIB = 1024**2


def print_host(*, json: bool) -> None:
    """Look at this machine and print what there is."""
    report = host_report(engine_versions())
    if json:
        say_json({"host": asdict(report)})
    else:
        for line in lines_of(report):
            say(line)


def lines_of(report: HostReport) -> list[str]:
    """The report for people. Pure."""
    memory = "" if report.memory_bytes is None else f", {report.memory_bytes / GIB:.1f} GiB memory"
    landlock = f"no: {report.landlock_why_not}" if report.landlock_abi is None else f"yes, ABI {report.landlock_abi}"
    limits = ", ".join(f"{name.removeprefix('RLIMIT_')} {_bound(most)}" for name, most in report.hard_limits.items())
    return [
        f"host  (Linux {report.kernel}, {report.machine}, {report.cpus} CPUs{memory})",
        f"  landlock    {landlock}",
        f"  seccomp     {'yes' if report.seccomp else 'no'}",
        f"  rlimits     {limits}",
        f"  privileges  {report.capabilities} capabilities, of which a worker keeps none",
        f"  engines     {', '.join(f'{name} {version}' for name, version in report.engines.items())}",
    ]


def _bound(most: int | None) -> str:
    if most is None:
        return "unlimited"
    return f"{most // MIB} MiB" if most >= 64 * MIB else str(most)
