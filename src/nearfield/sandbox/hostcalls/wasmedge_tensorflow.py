"""Full TensorFlow, which this host does not have: module `wasmedge_tensorflow`, both generations, all failing.

Guests of `wasmedge_tensorflow_interface` import it even when they only use TensorFlow Lite, so it must link.
"""

from __future__ import annotations

from typing import Any

from nearfield.sandbox.call import WARNING
from nearfield.sandbox.callpath import HostImport
from nearfield.sandbox.host import Host
from nearfield.sandbox.signature import Signature

MODULE = "wasmedge_tensorflow"

RUNTIME_ERROR = 5

_NOTE = "always fails: TensorFlow Lite only"

_SIGNATURES_A = {
    "create_session": "i32 i32 -> i64",
    "delete_session": "i64 ->",
    "run_session": "i64 -> i32",
    "get_output_tensor": "i64 i32 i32 i32 -> i64",
    "get_tensor_len": "i64 -> i32",
    "get_tensor_data": "i64 i32 ->",
    "append_input": "i64 i32 i32 i32 i32 i32 i32 i32 i32 ->",
    "append_output": "i64 i32 i32 i32 ->",
    "clear_input": "i64 ->",
    "clear_output": "i64 ->",
}
# Running nothing is a failure; handles and lengths of nothing are 0.
_RESULTS_A = {"run_session": 1, "create_session": 0, "get_output_tensor": 0, "get_tensor_len": 0}

_PARAMS_B = {
    "create_session": 3,
    "create_session_saved_model": 5,
    "delete_session": 1,
    "run_session": 1,
    "get_output_tensor": 4,
    "get_tensor_len": 3,
    "get_tensor_data": 5,
    "append_input": 8,
    "append_output": 3,
    "clear_input": 1,
    "clear_output": 1,
}


def _failing(name: str, result: int | None) -> Any:
    text = f"{MODULE}.{name}: this host runs TensorFlow Lite models only; convert the model to .tflite"

    def fail(host: Host, *_: int) -> int | None:
        host.call.log(WARNING, text)
        return result

    return fail


_A = tuple(
    HostImport(MODULE, f"{MODULE}_{name}", Signature.of(signature), _failing(name, _RESULTS_A.get(name)), 0, _NOTE)
    for name, signature in _SIGNATURES_A.items()
)
_B = tuple(
    HostImport(
        MODULE, name, Signature.of("i32 " * params + "-> i32"), _failing(name, RUNTIME_ERROR), RUNTIME_ERROR, _NOTE
    )
    for name, params in _PARAMS_B.items()
)

FUNCTIONS = _A + _B
