"""Worker processes: starting, restarting, ending, and replacing them when the workflow changes."""

from nearfield.supervise.admission import Admission, admission_of
from nearfield.supervise.changes import FunctionChange, Version, compare, files_of, functions_of, version_of
from nearfield.supervise.command import is_program, worker_command, worker_environment
from nearfield.supervise.control_socket import ControlServer, RunningZipper, running_zippers
from nearfield.supervise.deployment import Deployment
from nearfield.supervise.file_watch import FileWatch
from nearfield.supervise.policy import policy_of
from nearfield.supervise.reloader import Event, Reloader, ReloadRequest, text_of
from nearfield.supervise.restart import GiveUp, Restart, RestartPolicy, describe_exit
from nearfield.supervise.rights_keeper import RightsKeeper
from nearfield.supervise.supervisor import Supervisor, Worker

__all__ = [
    "Admission",
    "ControlServer",
    "Deployment",
    "Event",
    "FileWatch",
    "FunctionChange",
    "GiveUp",
    "ReloadRequest",
    "Reloader",
    "Restart",
    "RestartPolicy",
    "RightsKeeper",
    "RunningZipper",
    "Supervisor",
    "Version",
    "Worker",
    "admission_of",
    "compare",
    "describe_exit",
    "files_of",
    "functions_of",
    "is_program",
    "policy_of",
    "running_zippers",
    "text_of",
    "version_of",
    "worker_command",
    "worker_environment",
]
