"""`nearfield top`: what a zipper is doing, from its ledger."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec
import typer
from rich.live import Live
from rich.table import Table

from nearfield.cli import options
from nearfield.cli.output import say, say_json, terminal
from nearfield.cli.stopping import Stopping
from nearfield.errors import RemoteProtocolError, TransportError
from nearfield.frame import keys
from nearfield.telemetry import configure_logging
from nearfield.transport import DEFAULT_ZIPPER, Connection, dial

ANSWER_TIMEOUT_S = 2.0

Interval = Annotated[float, typer.Option("--interval", "-i", metavar="SECONDS", min=0.1, help="Time between looks.")]
Once = Annotated[bool, typer.Option("--once", help="Look once and end.")]


def top(
    zipper: options.Zipper = DEFAULT_ZIPPER,
    interval: Interval = 1.0,
    once: Once = False,
    namespace: options.Namespace = "default",
    ca: options.Ca = None,
    certificate: options.Certificate = None,
    key: options.Key = None,
    token_file: options.TokenFile = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Show what became of every frame: received, completed, failed, dropped and why, for each function.

    `--json` prints the zipper's whole ledger, one object for each look.
    """
    configure_logging(verbose=verbose)
    connection = dial(zipper, identity=options.credentials_of(ca, certificate, key, token_file), namespace=namespace)
    stopping = Stopping()
    with contextlib.closing(connection), _shown(json=json, once=once) as show:
        before: Mapping[str, Any] | None = None
        asked_at = 0.0
        while not stopping.is_set:
            ledger, now = ask_ledger(connection), time.monotonic()
            show(ledger, rates(before, ledger, now - asked_at))
            if once:
                break
            before, asked_at = ledger, now
            stopping.wait(interval)
    raise typer.Exit(stopping.exit_code)


def ask_ledger(connection: Connection) -> dict[str, Any]:
    """The ledger of the zipper at the other end, as it stands.

    Raises:
        TransportError: it does not answer.
        RefusedError: we may not ask.
        RemoteProtocolError: it answers something else.
    """
    connection.permission.check_ledger()
    where = f"zipper `{connection.zipper}`"
    answer = connection.session.ask(keys.ledger(connection.namespace, connection.zipper), timeout_s=ANSWER_TIMEOUT_S)
    if answer is None:
        raise TransportError(f"no answer for {ANSWER_TIMEOUT_S:g} s", where=where)
    try:
        ledger = msgspec.json.decode(answer)
        if isinstance(ledger["groups"], dict):
            return dict(ledger)
    except (msgspec.DecodeError, KeyError, TypeError):
        pass
    raise RemoteProtocolError("got an answer that is no ledger; is it of another version?", where=where)


def rates(before: Mapping[str, Any] | None, now: Mapping[str, Any], elapsed_s: float) -> dict[str, float]:
    """Frames completed a second since the look before, for each function that was there then. Pure.

    A zipper that started anew in between (its epoch tells) has no rates yet.
    """
    if before is None or before.get("epoch") != now.get("epoch") or elapsed_s <= 0:
        return {}
    earlier = before["groups"]
    return {
        name: (group["completed"] - earlier[name]["completed"]) / elapsed_s
        for name, group in now["groups"].items()
        if name in earlier
    }


def rows(ledger: Mapping[str, Any], per_second: Mapping[str, float]) -> list[tuple[str, ...]]:
    """One row of text for each function, as `COLUMNS` names its parts. Pure."""
    return [
        (
            name,
            group.get("mode", ""),
            str(group["instances"]),
            f"{per_second[name]:,.1f}" if name in per_second else "",
            f"{group['received']:,}",
            f"{group['completed']:,}",
            _by_reason(group["failed"]),
            _by_reason(group["dropped"]),
            f"{group['queued']:,}",
            f"{group['in_flight']:,}",
            "" if group["handler_ms_mean"] is None else f"{group['handler_ms_mean']:.1f}",
        )
        for name, group in ledger["groups"].items()
    ]


COLUMNS = (
    "function", "mode", "instances", "per s", "received", "completed", "failed", "dropped", "queued", "in flight", "ms",
)  # fmt: skip


def _by_reason(counts: Mapping[str, int]) -> str:
    if not counts:
        return "0"
    total = f"{sum(counts.values()):,}"
    return f"{total} ({', '.join(f'{reason} {count:,}' for reason, count in counts.items())})"


def _table(ledger: Mapping[str, Any], per_second: Mapping[str, float]) -> Table:
    ingress = ledger.get("ingress", {})
    rejected = _by_reason(ingress.get("rejected", {}))
    title = (
        f"zipper {ledger.get('zipper', '')}: {ingress.get('accepted', 0):,} frames accepted, "
        f"{ingress.get('duplicates', 0):,} duplicates, {rejected} rejected"
    )
    silent = [name for name, listener in ledger.get("listeners", {}).items() if not listener["answers"]]
    if silent:
        title += f"\nno answer from {', '.join(silent)}: new connections are made in another way"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for number, name in enumerate(COLUMNS):
        table.add_column(name, justify="left" if number < 2 else "right")
    for row in rows(ledger, per_second):
        table.add_row(*row)
    return table


@contextlib.contextmanager
def _shown(*, json: bool, once: bool) -> Iterator[Any]:
    """What shows a ledger: in place on a terminal, one after the other in a pipe, as objects with `--json`."""
    console = terminal()
    if json:
        yield lambda ledger, _: say_json(ledger)
    elif once or not console.is_terminal:
        yield lambda ledger, per_second: say(_as_text(_table(ledger, per_second)))
    else:
        with Live(console=console, screen=False, auto_refresh=False) as live:
            yield lambda ledger, per_second: live.update(_table(ledger, per_second), refresh=True)


def _as_text(table: Table) -> str:
    console = terminal()
    # A pipe has no width; a row that is cut would lose reasons.
    console.width = max(console.width, 200)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().rstrip().splitlines())
