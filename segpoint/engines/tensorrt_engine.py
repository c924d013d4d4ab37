"""A TensorRT engine on the GPU, fed from and read back into PyTorch's tensors without a copy.

Imports tensorrt: to be imported only once `segpoint.engines.tensorrt.check` held.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorrt as trt
import torch
from torch import Tensor

from segpoint.engines.graphs import Port, Signature
from segpoint.engines.tensorrt_build import LOGGER
from segpoint.engines.tensorrt_cache import Stale

_TYPES = {torch.float32: trt.DataType.FLOAT, torch.int32: trt.DataType.INT32, torch.bool: trt.DataType.BOOL}
_ALIGNMENT = 256  # bytes, what TensorRT asks of an address


class Engine:
    """One graph on one GPU.

    Raises `Stale` where TensorRT does not take the plan, or it is one of another graph.
    """

    def __init__(self, plan: bytes, signature: Signature, stream: torch.cuda.Stream) -> None:
        self.signature = signature
        self._stream = stream
        with torch.cuda.device(stream.device):
            self._runtime = trt.Runtime(LOGGER)  # has to outlive the engine
            engine = self._runtime.deserialize_cuda_engine(plan)
            if engine is None:
                raise Stale(f"TensorRT does not take it: {LOGGER.reason()}")
            if _held(engine) != _wanted(signature):
                raise Stale("it has other inputs or outputs")
            context = engine.create_execution_context()
        if context is None:
            raise RuntimeError(f"no memory for the engine on {stream.device}: {LOGGER.reason()}")
        self._engine, self._context = engine, context

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Outputs by name, as new tensors on the engine's GPU; they are there when what follows on the stream reads
        them, nothing waits on the host.

        The outputs' memory is PyTorch's and new in each run: written into buffers of the engine's own, they would have
        to be copied before the next run.
        """
        device = self._stream.device
        given = {port.name: _as_bound(inputs[port.name], port, device) for port in self.signature.inputs}
        found = {port.name: torch.empty(port.shape, dtype=port.dtype, device=device) for port in self.signature.outputs}
        for name, tensor in (*given.items(), *found.items()):
            if not self._context.set_tensor_address(name, tensor.data_ptr()):
                raise RuntimeError(f"TensorRT does not take {name}: {LOGGER.reason()}")
        # On the default stream TensorRT would synchronise. What is freed of the inputs after this is PyTorch's to use
        # again only on the caller's stream, which waits.
        caller = torch.cuda.current_stream(device)
        self._stream.wait_stream(caller)
        with torch.cuda.device(device):
            if not self._context.execute_async_v3(self._stream.cuda_stream):
                raise RuntimeError(f"TensorRT could not run: {LOGGER.reason()}")
        caller.wait_stream(self._stream)
        return found


def _as_bound(tensor: Tensor, port: Port, device: torch.device) -> Tensor:
    """The tensor itself wherever TensorRT can read it as it lies."""
    if tuple(tensor.shape) != port.shape:
        raise ValueError(f"{port.name} must be {port.shape}, got {tuple(tensor.shape)}")
    tensor = tensor.to(device, port.dtype).contiguous()
    return tensor.clone() if tensor.data_ptr() % _ALIGNMENT else tensor


def _wanted(signature: Signature) -> set[tuple]:
    ports = [(port, trt.TensorIOMode.INPUT) for port in signature.inputs]
    ports += [(port, trt.TensorIOMode.OUTPUT) for port in signature.outputs]
    return {(port.name, mode, port.shape, _TYPES[port.dtype]) for port, mode in ports}


def _held(engine: trt.ICudaEngine) -> set[tuple]:
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    return {
        (name, engine.get_tensor_mode(name), tuple(engine.get_tensor_shape(name)), engine.get_tensor_dtype(name))
        for name in names
    }
