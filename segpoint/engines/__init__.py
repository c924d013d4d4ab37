"""GEM, the encoder and GFP as three graphs of fixed shapes, and what can run them: PyTorch, ONNX Runtime, TensorRT."""
