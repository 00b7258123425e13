"""The kernels of `fitted` once more, in Triton, and a fit whose steps run on a GPU.

double   grids to twice their resolution, and back      twin of fitted/upsample.py
colour   features to colours, and back                  twin of fitted/synthesis.py
context  what values cost, and its gradients            twin of fitted/context.py
fit      `GpuFit`, a `fitted.fit.Fit`                   the rest of a step in torch
"""
