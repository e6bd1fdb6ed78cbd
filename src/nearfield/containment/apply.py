"""Taking the measures, in two steps.

1. `apply`, before anything of a guest or a model is read and while the process has one thread: Landlock and
   capabilities are a matter of threads, and one that exists already stays as it is.
2. `seal`, when the models have been tried out and the guest compiled, which takes processes of their own; those live
   under everything that step 1 took. From then on there are no new processes.
"""

from __future__ import annotations

import os

from nearfield.containment import landlock, process, seccomp
from nearfield.containment.filters import GENERAL, sealing
from nearfield.containment.kernel import Kernel
from nearfield.containment.plan import ContainmentPlan
from nearfield.containment.report import ContainmentReport, Measure, State, take

RLIMITS, OOM, CAPABILITIES, PRIVILEGES = "rlimits", "oom-score", "capabilities", "no-new-privs"
DUMPABLE, LANDLOCK, SECCOMP, SEALED = "no-dump", "landlock", "seccomp", "no-processes"


def apply(plan: ContainmentPlan, *, kernel: Kernel | None = None) -> ContainmentReport:
    """Give up everything that the plan does not allow, for good. Takes some milliseconds. Call on the main thread.

    Nothing that is missing or fails is fatal: it is in the report.
    """
    used = kernel or Kernel()
    threads = process.thread_count()
    return ContainmentReport(
        (
            take(RLIMITS, lambda: process.limit_resources(used, plan.limits)),
            take(OOM, lambda: process.be_first_out_of_memory(used)),
            take(CAPABILITIES, lambda: process.drop_capabilities(used)),
            take(PRIVILEGES, lambda: process.forbid_new_privileges(used)),
            take(DUMPABLE, lambda: process.hide_memory(used)),
            take(LANDLOCK, lambda: landlock.restrict(used, plan, threads=threads)),
            take(SECCOMP, lambda: _refuse_general(used)),
            Measure(SEALED, State.UNAVAILABLE, "not sealed yet"),
        )
    )


def seal(report: ContainmentReport, *, kernel: Kernel | None = None) -> ContainmentReport:
    """No further process or program from now on, and no signal to another process. Cannot be undone.

    Args:
        report: of `apply`.

    Returns:
        The report, completed.
    """
    used = kernel or Kernel()
    return report.with_measure(take(SEALED, lambda: _seal(used)))


def _refuse_general(kernel: Kernel) -> str:
    seccomp.refuse(kernel, GENERAL)
    return ""


def _seal(kernel: Kernel) -> str:
    seccomp.refuse(kernel, sealing(os.getpid()))
    return ""
