"""Worker processes: starting, restarting, ending."""

from nearfield.supervise.command import worker_command
from nearfield.supervise.restart import GiveUp, Restart, RestartPolicy, describe_exit
from nearfield.supervise.supervisor import Supervisor

__all__ = [
    "GiveUp",
    "Restart",
    "RestartPolicy",
    "Supervisor",
    "describe_exit",
    "worker_command",
]
