"""Containment: what a worker process gives up before it touches a guest, and what this machine offers for it."""

from nearfield.containment.apply import apply, seal
from nearfield.containment.host import HostReport, host_report
from nearfield.containment.kernel import Kernel
from nearfield.containment.plan import ContainmentPlan, ResourceLimits, plan_for_guest
from nearfield.containment.python import PythonInstallation
from nearfield.containment.report import ContainmentReport, Measure, State

__all__ = [
    "ContainmentPlan",
    "ContainmentReport",
    "HostReport",
    "Kernel",
    "Measure",
    "PythonInstallation",
    "ResourceLimits",
    "State",
    "apply",
    "host_report",
    "plan_for_guest",
    "seal",
]
