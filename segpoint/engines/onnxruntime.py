"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segpoint.engines.exported import Exported
from segpoint.engines.runner import Unavailable
from segpoint.network.segpoint import SegPoint

_NUMPY: dict[torch.dtype, Any] = {torch.float32: np.float32, torch.int32: np.int32, torch.bool: np.bool_}


def check(device: str) -> None:
    """Raises `Unavailable` where ONNX Runtime cannot run the graphs for this device."""
    if device != "cpu":
        raise Unavailable(f"onnxruntime computes on the CPU, not on {device}: give device cpu, or backend auto")
    try:
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise Unavailable(f"onnxruntime cannot be imported ({error}): pip install onnxruntime") from error


def open_runner(exported: Exported, device: str, network: SegPoint) -> OnnxRuntimeRunner:
    """Sessions of all graphs, on as many threads as PyTorch uses."""
    return OnnxRuntimeRunner(exported, torch.get_num_threads())


class OnnxRuntimeRunner:
    """One session a graph. Inputs are read and outputs written where the tensors lie.

    Raises `Unavailable` where a graph cannot be loaded.
    """

    def __init__(self, exported: Exported, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        # A thread that spins while it waits takes its core from the language model and from other processes; one that
        # sleeps at once takes longer to wake than most operators take to run.
        options.add_session_config_entry("session.intra_op.spin_duration_us", "100")
        options.log_severity_level = 3  # errors
        self.name = f"onnxruntime {onnxruntime.__version__}, {threads} thread{'s' * (threads != 1)}"
        self.graphs = exported.graphs
        try:
            self._sessions = {
                graph: onnxruntime.InferenceSession(str(exported.onnx(graph)), options, ["CPUExecutionProvider"])
                for graph in exported.graphs
            }
        except Exception as error:  # the library's own kinds derive from Exception alone
            raise Unavailable(f"onnxruntime cannot load the graphs in {exported.folder}: {error}") from error

    def run(self, graph: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Runner`."""
        signature = self.graphs[graph]
        binding = self._sessions[graph].io_binding()
        # Kept in lists until the run is over: the binding only knows their addresses.
        given = [inputs[port.name].to(port.dtype).contiguous() for port in signature.inputs]
        found = {port.name: torch.empty(port.shape, dtype=port.dtype) for port in signature.outputs}
        for port, tensor in zip(signature.inputs, given, strict=True):
            if tensor.shape != port.shape:
                raise ValueError(f"{graph} takes {port.name} as {port.shape}, got {tuple(tensor.shape)}")
            binding.bind_input(port.name, "cpu", 0, _NUMPY[port.dtype], port.shape, tensor.data_ptr())
        for port in signature.outputs:
            binding.bind_output(port.name, "cpu", 0, _NUMPY[port.dtype], port.shape, found[port.name].data_ptr())
        self._sessions[graph].run_with_iobinding(binding)
        return found
