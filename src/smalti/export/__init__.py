"""Trained models as files for other runtimes."""

from smalti.extras import need

need("torch", extra="onnx", what="export to ONNX")
