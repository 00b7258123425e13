"""The kernels of `fits.picture` once more, in Triton, and a fit whose steps run on a GPU.

double   grids to twice their resolution, and back      twin of native/fits/upsample.cpp
colour   features to colours, and back                  twin of native/fits/distortion.cpp
context  what values cost, and its gradients            twin of native/fits/context.cpp
fit      `GpuFit`, a `fits.picture.fit.Fit`             the rest of a step in torch
"""
