"""A model that kills its process is refused, not suffered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nearfield.errors import ModelInvalid
from nearfield.inference import probe_model
from nearfield.inference.admission import AdmissionRecord

ModelFile = Callable[..., Path]


def test_a_model_that_runs_is_admitted_in_silence(
    tiny: Any, model_file: ModelFile, capfd: pytest.CaptureFixture[str]
) -> None:
    probe_model(model_file(tiny.adder()))
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_model_that_kills_its_process_is_refused_with_its_fingerprint(tiny: Any, model_file: ModelFile) -> None:
    path = model_file(tiny.killer())
    with pytest.raises(ModelInvalid) as caught:
        probe_model(path)
    assert str(caught.value).startswith(f"model `{path}`: ")
    assert "sha256" in str(caught.value)


def test_the_runtimes_own_reason_is_passed_on(tiny: Any, model_file: ModelFile) -> None:
    with pytest.raises(ModelInvalid, match=r"got 200 bytes beginning .*expected a TFLite model that LiteRT can load"):
        probe_model(model_file(tiny.adder()[:200]))


def test_a_model_that_rejects_zeros_in_good_order_is_admitted(tiny: Any, model_file: ModelFile) -> None:
    probe_model(model_file(tiny.divider()))


def test_a_run_without_end_is_cut_short(tiny: Any, model_file: ModelFile) -> None:
    with pytest.raises(ModelInvalid, match=r"did not finish one run in 0\.001 s"):
        probe_model(model_file(tiny.adder()), timeout_s=0.001)


def test_a_record_remembers_a_digest_for_one_backend_only(tmp_path: Path) -> None:
    path = tmp_path / "state" / "admitted"
    record = AdmissionRecord(path, "litert 1")
    assert "aa" not in record
    record.add("aa")
    assert "aa" in AdmissionRecord(path, "litert 1")
    assert "aa" not in AdmissionRecord(path, "litert 2")


def test_a_torn_or_unwritable_record_admits_nothing(tmp_path: Path) -> None:
    path = tmp_path / "admitted"
    path.write_bytes(b"\xff\xfeaa litert")
    assert "aa" not in AdmissionRecord(path, "litert 1")
    nowhere = AdmissionRecord(path / "below-a-file", "litert 1")
    nowhere.add("aa")
    assert "aa" not in nowhere
