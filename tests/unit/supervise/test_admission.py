"""Whom a zipper lets in and what they may do, from a workflow and a real authority's registry."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from nearfield.config import Workflow, check_content
from nearfield.errors import CertificateError
from nearfield.frame.rights import ALL, ANY_NAME, FunctionRight, Right, every_right
from nearfield.supervise.admission import Admission, access_of, admission_of
from nearfield.supervise.rights_keeper import RightsKeeper
from nearfield.transport import (
    Identity,
    OpenAccess,
    Request,
    StateDirectory,
    TokenAccess,
    ensure_local_identity,
    ensure_local_token,
    ensure_server_certificate,
    issue,
)
from nearfield.transport.issuing import revoke
from nearfield.transport.registry import registry_path

LABEL = {"name": "label", "observe": [16], "emit": [17]}
LABEL_RIGHT = FunctionRight("label", frozenset({16}), frozenset({17}))
RIGHTS = {"cam": {"send": [16]}}
CAM = Right("default", "cam", send=frozenset({16}), origins=("cam",))
TOKENS = {"type": "token", "tokens": {"cam": "0123456789abcdef-cam", "hall": "0123456789abcdef-hall"}}
DAIRY = {"dairy": {"functions": [LABEL], "rights": {"tank": {"send": [16]}}}}
TANK = Right("dairy", "tank", send=frozenset({16}), origins=("tank",))


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


def workflow(**fields: Any) -> Workflow:
    check = check_content(yaml.safe_dump({"name": "hall", "functions": [LABEL], **fields}).encode(), base=Path("/"))
    assert check.workflow is not None, check.findings
    return check.workflow


def admitted(state: StateDirectory, **fields: Any) -> Admission:
    return admission_of(workflow(**fields), state, "127.0.0.1")


def rights(state: StateDirectory, **fields: Any) -> list[Right] | None:
    return admitted(state, **fields).rights(workflow(**fields))


def me(state: StateDirectory, namespace: str = "default") -> Right:
    return every_right(namespace, ensure_local_identity(state).name)


def zipper_elsewhere(state: StateDirectory, name: str = "hall-2") -> Identity:
    return issue(state, Request(name, ("zipper",), hosts=("hall-2.example",)), now=datetime.now(UTC)).identity


def certificates(identity: Identity) -> dict[str, str]:
    return dict(zip(("ca", "certificate", "key"), map(str, identity.files), strict=True))


# ---- certificates of this user's authority


def test_issued_identities_have_what_their_roles_give_and_this_user_everything(state: StateDirectory) -> None:
    for name, role, namespace in (
        ("cam", "source", "default"),
        ("dev", "function", "default"),
        ("far", "sink", "dairy"),
    ):
        issue(state, Request(name, (role,), namespace=namespace))  # type: ignore[arg-type]
    first = [
        me(state),
        Right("default", "cam", send=ALL, origins=("cam",)),
        Right("default", "dev", functions=(LABEL_RIGHT,)),
    ]
    assert rights(state) == first
    assert rights(state, namespaces={"dairy": {"functions": []}}) == [
        *first,
        me(state, "dairy"),
        Right("dairy", "far", observe=ALL),
    ]


def test_with_rights_those_listed_are_all_in_each_namespace(state: StateDirectory) -> None:
    issue(state, Request("other", ("source",)))
    assert rights(state, rights=RIGHTS, namespaces=DAIRY) == [me(state), CAM, me(state, "dairy"), TANK]


def test_revoked_name_has_no_rights_whatever_the_workflow_says(state: StateDirectory) -> None:
    for name in ("cam", "other"):
        issue(state, Request(name, ("source",)))
    revoke(state, "cam")
    assert rights(state, rights=RIGHTS) == [me(state)]
    assert rights(state) == [me(state), Right("default", "other", send=ALL, origins=("other",))]
    revoke(state, "other")
    assert rights(state) == [me(state)]


def test_peers_of_this_user_show_the_certificate_of_the_machine_which_gives_no_other_right(
    state: StateDirectory,
) -> None:
    admission = admitted(state)
    machine = ensure_server_certificate(state).name
    assert (admission.identity.name, admission.peer_names) == (machine, (machine,))
    assert machine not in admission.own
    assert admission.token_file is None
    assert admission.identity.access is None


def test_registry_that_is_damaged_is_said_and_not_taken_for_an_empty_one(state: StateDirectory) -> None:
    issue(state, Request("cam", ("source",)))
    admission = admitted(state)
    registry_path(state).write_text("{")
    with pytest.raises(CertificateError, match="is no registry of certificates"):
        admission.rights(workflow())


# ---- certificates that the workflow names


def test_configured_certificate_of_this_user_s_authority_changes_nothing_but_the_zipper_s_own_name(
    state: StateDirectory,
) -> None:
    issue(state, Request("cam", ("source",)))
    configured = zipper_elsewhere(state)
    admission = admitted(state, certificates=certificates(configured))
    assert (admission.configured, admission.client, admission.identity) == (configured, configured, configured)
    assert admission.issued_here
    found = admission.rights(workflow(certificates=certificates(configured)))
    assert found == [every_right("default", "hall-2"), me(state), Right("default", "cam", send=ALL, origins=("cam",))]


def test_foreign_certificates_without_rights_let_everyone_do_everything(state: StateDirectory, tmp_path: Path) -> None:
    configured = zipper_elsewhere(StateDirectory(tmp_path / "head-office"))
    issue(state, Request("cam", ("source",)))
    admission = admitted(state, certificates=certificates(configured))
    assert not admission.issued_here
    assert admission.rights(workflow()) is None
    assert admission.version() is None


def test_foreign_certificates_with_rights_let_those_listed_and_the_zipper_s_own_workers(
    state: StateDirectory, tmp_path: Path
) -> None:
    files = certificates(zipper_elsewhere(StateDirectory(tmp_path / "head-office")))
    issue(state, Request("other", ("source",)))
    # Names that this user's authority revoked are others' there.
    issue(state, Request("cam", ("source",)))
    revoke(state, "cam")
    own, own_in_dairy = every_right("default", "hall-2"), every_right("dairy", "hall-2")
    assert rights(state, rights=RIGHTS, certificates=files) == [own, CAM]
    assert rights(state, namespaces=DAIRY, certificates=files) == [own, own_in_dairy, TANK]


# ---- tokens and none


def test_whoever_has_a_token_may_do_everything_where_there_are_no_rights(state: StateDirectory) -> None:
    issue(state, Request("other", ("source",)))
    assert rights(state, auth=TOKENS) == [
        me(state),
        every_right("default", "cam"),
        every_right("default", "hall"),
        # Zippers that this one goes to: whoever it is, it has the same rights as they.
        Right("default", ANY_NAME, is_zipper=True),
    ]
    assert rights(state, auth={"type": "token", "token": "0123456789abcdef"}) == [
        me(state),
        every_right("default", "default"),
        Right("default", ANY_NAME, is_zipper=True),
    ]


def test_token_of_a_tenant_gives_nothing_beside_what_the_tenant_s_rights_say(state: StateDirectory) -> None:
    tenants = {"dairy": {"functions": [LABEL], "rights": {"cam": {"send": [16]}}}}
    assert rights(state, auth=TOKENS, namespaces=tenants) == [
        me(state),
        me(state, "dairy"),
        Right("dairy", "cam", send=frozenset({16}), origins=("cam",)),
        every_right("default", "hall"),
    ]


def test_with_tokens_and_rights_only_those_listed(state: StateDirectory) -> None:
    assert rights(state, auth=TOKENS, rights=RIGHTS) == [me(state), CAM]


def test_zipper_shows_the_token_of_its_name_else_this_user_s(state: StateDirectory) -> None:
    local = ensure_local_token(state)
    access = access_of(workflow(auth=TOKENS), state)
    assert isinstance(access, TokenAccess)
    assert (access.own.name, access.own.secret) == ("hall", TOKENS["tokens"]["hall"])  # type: ignore[index]
    assert [token.name for token in access.tokens] == [local.name, "cam", "hall"]
    elsewhere = access_of(workflow(auth=TOKENS, name="yard"), state)
    assert isinstance(elsewhere, TokenAccess)
    assert elsewhere.own == local
    admission = admitted(state, auth=TOKENS)
    assert admission.own == [local.name]
    assert admission.token_file is not None
    assert admission.token_file.read_text().startswith(f"{local.name}:")


def test_insecure_knows_no_rights_and_certificates_no_other_access(state: StateDirectory) -> None:
    assert access_of(workflow(insecure=True), state) == OpenAccess()
    assert rights(state, insecure=True) is None
    assert access_of(workflow(), state) is None


# ---- keeping them


class FakeZipper:
    """Holds rights, unless it fails."""

    def __init__(self, held: list[Right] | None) -> None:
        self.held = held
        self.failure: Exception | None = None
        self.calls = 0

    def set_rights(self, rights: list[Right] | None) -> bool:
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        changed, self.held = rights != self.held, rights
        return changed


def test_keeper_takes_on_what_is_issued_and_revoked_and_looks_no_further_else(state: StateDirectory) -> None:
    admission = admitted(state)
    zipper = FakeZipper(admission.rights(workflow()))
    # Between reading the rights and the first look.
    issue(state, Request("early", ("source",)))
    keeper = RightsKeeper(zipper, admission)  # type: ignore[arg-type]
    assert keeper.look(workflow())
    assert zipper.held is not None
    assert [right.identity for right in zipper.held[1:]] == ["early"]
    assert not keeper.look(workflow())
    assert zipper.calls == 1
    revoke(state, "early")
    assert keeper.look(workflow())
    assert len(zipper.held) == 1
    assert not keeper.look(workflow())
    assert zipper.calls == 2


def test_keeper_applies_a_workflow_s_rights_once(state: StateDirectory) -> None:
    admission = admitted(state)
    zipper = FakeZipper(admission.rights(workflow()))
    keeper = RightsKeeper(zipper, admission)  # type: ignore[arg-type]
    assert keeper.apply(workflow(rights=RIGHTS))
    assert zipper.held == [me(state), CAM]
    assert not keeper.apply(workflow(rights=RIGHTS))
    assert not keeper.look(workflow(rights=RIGHTS))


@pytest.mark.parametrize("method", ["look", "apply"])
def test_keeper_tries_again_what_failed(state: StateDirectory, method: str) -> None:
    admission = admitted(state)
    zipper = FakeZipper(admission.rights(workflow()))
    keeper = RightsKeeper(zipper, admission)  # type: ignore[arg-type]
    assert not keeper.look(workflow())
    issue(state, Request("cam", ("source",)))
    zipper.failure = CertificateError("no")
    for _ in range(2):
        with pytest.raises(CertificateError):
            getattr(keeper, method)(workflow())
    zipper.failure = None
    assert keeper.look(workflow())
    assert not keeper.look(workflow())
    assert zipper.calls == 4
