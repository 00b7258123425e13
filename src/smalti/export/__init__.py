"""Trained models for other runtimes and libraries: ONNX files, a `vae` for diffusers."""

from smalti.extras import need_torch

need_torch(what="a model for other runtimes and libraries")
