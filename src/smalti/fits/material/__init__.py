"""Neural textures: the maps of a material, with their mip levels, as small grids and one network.

    texel ─┬─ fine grid, 1/2, 3 channels ───bilinear─┐
           ├─ coarse grid, 1/4, 6 channels ─bilinear─┼─ 12 ─HGELU─ 32 ─HGELU─ 32 ─ C maps' channels
           └─ where in its 2 x 2 cell ───────────────┘

A fixed rate in memory: every node is 2 to 8 bits a channel, and any texel of any mip level is read
by itself, on a GPU too (docs/NEURAL_TEXTURES.md). After Vaidyanathan et al. 2023, "Random-Access
Neural Compression of Material Textures", arXiv 2305.17105.

layout     the shape of a texture, and its size in memory
kernels    features, network and gradients of a block of texels, native; reference: their twin
fit        from mip levels to a texture
texture    a texture, and reading its texels
maps       the maps of a material, and their mip levels
sections   a texture as parts of a file
shaders    the decoder as GLSL, WGSL and Slang, and the packed grids it reads
blocks     the maps as BC7 and BC5 textures
"""
