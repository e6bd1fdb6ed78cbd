"""Two tenants at one zipper, and others whom it does not know."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nearfield.frame.rights import ALL, FunctionRight, Right, every_right
from tests.attack.kit import Certificates, Site

DETECT = FunctionRight("detect", frozenset({16}), frozenset({17}))
COUNT = FunctionRight("count", frozenset({17}), frozenset({18}))
RIGHTS = (
    Right("alpha", "cam-1", send=frozenset({16}), origins=("cam-1",), max_payload_bytes=100_000),
    Right("alpha", "cam-2", send=frozenset({16}), origins=("cam-2",)),
    Right("alpha", "gate", send=frozenset({16, 20}), origins=("gate", "gate-*")),
    Right("alpha", "detector", functions=(DETECT,)),
    Right("alpha", "counter", functions=(COUNT,)),
    Right("alpha", "screen", observe=frozenset({17})),
    Right("alpha", "auditor", reads_ledger=True),
    Right("alpha", "line-2", is_zipper=True),
    Right("beta", "cam-9", send=ALL, origins=("cam-9",)),
    Right("beta", "screen-9", observe=ALL),
    Right("beta", "runner-9", functions=(FunctionRight("detect"),)),
    every_right("alpha", "local-me"),
    every_right("beta", "local-me"),
)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="package")
def shared_site(certificates: Certificates) -> Iterator[Site]:
    site = Site(certificates, RIGHTS)
    yield site
    site.close()


@pytest.fixture
def site(shared_site: Site) -> Site:
    """What was heard before belongs to other tests."""
    for record in (shared_site.heard.samples, shared_site.asked, shared_site.announced):
        record.clear()
    return shared_site
