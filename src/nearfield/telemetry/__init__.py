"""What the running system says about itself."""

from nearfield.telemetry.log import RepeatedWarning, configure_logging

__all__ = ["RepeatedWarning", "configure_logging"]
