"""What lines lost between senders and sinks: senders keep what they published, sinks notice gaps and ask for it."""

from nearfield.recovery.held import Arrival
from nearfield.recovery.kept import KeptFrame
from nearfield.recovery.recoverer import Recoverer
from nearfield.recovery.resender import Resender

__all__ = ["Arrival", "KeptFrame", "Recoverer", "Resender"]
