"""Errors: how they read, and that they survive the way between processes."""

from __future__ import annotations

import pickle

import pytest

from nearfield import errors
from nearfield.errors import NearfieldError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, NearfieldError)]


def test_message_names_place_matter_and_hint() -> None:
    assert str(NearfieldError("got 1, expected 2")) == "got 1, expected 2"
    assert str(NearfieldError("got 1, expected 2", where="w.yaml:3")) == "w.yaml:3: got 1, expected 2"
    assert str(NearfieldError("got 1", where="here", hint="try 2")) == "here: got 1; try 2"


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_crosses_process_boundaries_whole(kind: type[NearfieldError]) -> None:
    error = pickle.loads(pickle.dumps(kind("got 1", where="here", hint="try 2")))
    assert type(error) is kind
    assert (error.what, error.where, error.hint) == ("got 1", "here", "try 2")


@pytest.mark.parametrize("kind", KINDS)
def test_exit_code_is_that_of_usage_for_what_a_caller_or_author_can_mend_before_the_start(
    kind: type[NearfieldError],
) -> None:
    configuration = (
        errors.UsageError,
        errors.ConfigError,
        errors.CertificateError,
        errors.GuestInvalid,
        errors.ModelInvalid,
    )
    assert kind.exit_code == (2 if issubclass(kind, configuration) else 1)
