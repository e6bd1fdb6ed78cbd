"""The workflow file: its types, its reader, its checks."""

from nearfield.config.findings import Finding
from nearfield.config.json_schema import workflow_schema
from nearfield.config.load import WorkflowCheck, WorkflowInvalid, check_content, check_workflow, load_workflow
from nearfield.config.quantities import format_duration, format_size, parse_duration, parse_size
from nearfield.config.rights import IssuedIdentity, rights_of, tenants_of
from nearfield.config.sandbox_limits import format_limits, parse_limits
from nearfield.config.schema import (
    AuthConfig,
    BatchConfig,
    CertificateConfig,
    DeliveryConfig,
    DirectoryConfig,
    FunctionConfig,
    GrantsConfig,
    LimitsConfig,
    ModelConfig,
    NamespaceConfig,
    RightConfig,
    SandboxConfig,
    Workflow,
)
from nearfield.config.validate import validate_files, validate_workflow

__all__ = [
    "AuthConfig",
    "BatchConfig",
    "CertificateConfig",
    "DeliveryConfig",
    "DirectoryConfig",
    "Finding",
    "FunctionConfig",
    "GrantsConfig",
    "IssuedIdentity",
    "LimitsConfig",
    "ModelConfig",
    "NamespaceConfig",
    "RightConfig",
    "SandboxConfig",
    "Workflow",
    "WorkflowCheck",
    "WorkflowInvalid",
    "check_content",
    "check_workflow",
    "format_duration",
    "format_limits",
    "format_size",
    "load_workflow",
    "parse_duration",
    "parse_limits",
    "parse_size",
    "rights_of",
    "tenants_of",
    "validate_files",
    "validate_workflow",
    "workflow_schema",
]
