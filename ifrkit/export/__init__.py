"""Trained models as graphs that run without ifrkit: ONNX, or programs of torch.export."""
