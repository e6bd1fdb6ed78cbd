"""The node: decisions in `dispatcher` and `ledger`, I/O in `namespace`, what all namespaces share in `server`."""

from nearfield.zipper.dispatcher import Dispatcher
from nearfield.zipper.losses import account
from nearfield.zipper.outbox import StuckInstance
from nearfield.zipper.policy import GroupPolicy
from nearfield.zipper.rate_limit import RateLimit
from nearfield.zipper.self_probe import ListenerCallback
from nearfield.zipper.server import Zipper
from nearfield.zipper.settings import ZipperSettings

__all__ = [
    "Dispatcher",
    "GroupPolicy",
    "ListenerCallback",
    "RateLimit",
    "StuckInstance",
    "Zipper",
    "ZipperSettings",
    "account",
]
