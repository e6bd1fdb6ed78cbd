"""Worker processes: starting, restarting, ending."""

from nearfield.supervise.command import GUEST_ENVIRONMENT_VARIABLE, is_program, worker_command, worker_environment
from nearfield.supervise.restart import GiveUp, Restart, RestartPolicy, describe_exit
from nearfield.supervise.supervisor import Supervisor

__all__ = [
    "GUEST_ENVIRONMENT_VARIABLE",
    "GiveUp",
    "Restart",
    "RestartPolicy",
    "Supervisor",
    "describe_exit",
    "is_program",
    "worker_command",
    "worker_environment",
]
