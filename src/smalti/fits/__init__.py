"""Networks fitted to one picture: NumPy and native kernels, no torch.

tables     hash-texture and latent-texture: tables of features and a small network
"""
