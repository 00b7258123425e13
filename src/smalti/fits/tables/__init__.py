"""Textures of tables: levels of features, dense grids or hash tables, and a small network.

    texel ─levels, bilinear─ features ─f(W x + b)─ ... ─sigmoid(W x + b)─ colour

levels     which entries of a level a texel reads
model      the shape of a texture, its parameters, and drawing it
hash_texture, latent_texture   the two of them
fit        from a picture to parameters: Adam over random texels
quantize   tables to whole levels and back
kernels    the native kernels; reference: their readable twin
"""
