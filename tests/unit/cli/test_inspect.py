from __future__ import annotations

from nearfield.cli.inspect import describe_imports
from nearfield.sandbox import ImportReport


def imported(module: str, name: str, by: str | None, why_not: str | None = None) -> ImportReport:
    return ImportReport(module, name, "(i32) -> i32", by, why_not)


def test_each_import_is_told_with_what_answers_it() -> None:
    imports = [
        imported("wasi", "fd_write", "wasi"),
        imported("wasi", "sock_accept", "wasi (answers with an errno)"),
        imported("elsewhere", "magic", None, "no such module"),
        imported("wasi", "proc_exit", "wasi"),
        imported("env", "yomo_write", "yomo"),
    ]
    assert describe_imports(imports) == [
        "  imports     wasi: fd_write, proc_exit",
        "  imports     wasi: sock_accept  (answers with an errno)",
        "  imports     env: yomo_write  (by yomo)",
        "  missing     elsewhere.magic (i32) -> i32: no such module",
    ]
