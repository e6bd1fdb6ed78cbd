"""Worker processes: starting, restarting, ending."""

from nearfield.supervise.command import worker_command
from nearfield.supervise.orphan import end_with_parent
from nearfield.supervise.restart import GiveUp, Restart, RestartPolicy, describe_exit
from nearfield.supervise.supervisor import Supervisor

__all__ = [
    "GiveUp",
    "Restart",
    "RestartPolicy",
    "Supervisor",
    "describe_exit",
    "end_with_parent",
    "worker_command",
]
