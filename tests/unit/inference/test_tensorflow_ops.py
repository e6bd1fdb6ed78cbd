from __future__ import annotations

import pytest

from nearfield.inference.tensorflow_ops import ALLOWED, KEEPING, SAVING
from tests.unit.inference.tensorflow_models import needs_tensorflow, tensorflow

# Doors to files, the network, Python, other graphs and processes, and what blocks or ends this one.
HOSTILE = """
    ReadFile WriteFile MatchingFiles WholeFileReaderV2 TextLineReaderV2 TFRecordReaderV2 FixedLengthRecordReaderV2
    RecordInput ImmutableConst FixedUnigramCandidateSampler LoadAndRemapMatrix GenerateVocabRemapping DecodeProtoV2
    InitializeTableFromTextFileV2 SaveV2 RestoreV2 Save Restore MergeV2Checkpoints ShardedFilename SaveSlices PyFunc
    PyFuncStateless EagerPyFunc PrintV2 Print WriteSummary CreateSummaryFileWriter DebugIdentityV3 TextLineDataset
    TFRecordDatasetV2 SnapshotDatasetV2 DataServiceDatasetV2 IteratorV2 GeneratorDataset _Send _Recv RemoteCall
    CollectiveReduceV2 RpcCall Abort Barrier FIFOQueueV2 Stage TPUExecute XlaLaunch FileSystemSetConfiguration
    EncodeProto LMDBReader DestroyResourceOp GetSessionHandleV2 MutexV2 Batch
"""


@pytest.mark.parametrize("operation", HOSTILE.split())
def test_no_door_is_on_the_list(operation: str) -> None:
    assert operation not in ALLOWED


@pytest.mark.parametrize("operation", ["Conv2D", "MatMul", "FusedBatchNormV3", "StopGradient", "Softmax", "While"])
def test_what_networks_are_made_of_is(operation: str) -> None:
    assert operation in KEEPING


def test_what_changes_a_session_is_allowed_and_not_keeping() -> None:
    assert {"AssignVariableOp", "RandomUniform", "ScatterUpdate"} <= ALLOWED - KEEPING
    assert not SAVING & ALLOWED


@needs_tensorflow
def test_every_name_is_one_of_tensorflow() -> None:
    registry = tensorflow().raw_ops
    assert {name for name in ALLOWED | SAVING if not hasattr(registry, name)} == set()
