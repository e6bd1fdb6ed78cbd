"""Commands as real processes; a failing test shows what they said."""

from tests.integration.conftest import commands, module_commands, pytest_runtest_makereport

__all__ = ["commands", "module_commands", "pytest_runtest_makereport"]
