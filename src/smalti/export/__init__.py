"""Trained models as files for other runtimes."""

from smalti.extras import need_torch

need_torch(extra="onnx", what="export to ONNX")
