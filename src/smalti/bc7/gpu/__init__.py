"""The BC7 encoder on GPUs: compute shaders, one thread a block. See docs/GPU.md.

encode       `encode_image`: strips of a picture, each through one of the two below
wgsl         the effort ladder: small WGSL kernels, one a mode, through wgpu
slang        the engines `pca` and `nelder-mead`: a Slang kernel, through slangpy
shaders/     the kernels

Importing this imports neither wgpu nor slangpy; `encode_image` does, when it needs one.
"""

from smalti.bc7.gpu.encode import EFFORTS, encode_image

__all__ = ["EFFORTS", "encode_image"]
