"""Models for host functions."""

from __future__ import annotations

from pathlib import Path

import pytest

from nearfield.inference import ModelStore
from nearfield.sandbox.host import Host
from tests.unit.inference.conftest import TinyModels
from tests.unit.sandbox.kit import host_with, named_models


@pytest.fixture
def tiny() -> TinyModels:
    return TinyModels()


@pytest.fixture
def models(tmp_path: Path, tiny: TinyModels) -> ModelStore:
    """`adder`: two inputs and one output, f32 (1, 4), with labels; `divider`: the same in i32."""
    return named_models(tmp_path, {"adder": tiny.adder(), "divider": tiny.divider()}, "sum\nb\nc\nd\n")


@pytest.fixture
def host(models: ModelStore) -> Host:
    return host_with(models)
