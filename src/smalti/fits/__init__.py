"""Networks fitted to one picture, or to the maps of one material: NumPy and native kernels, no torch.

tables/     hash-texture and latent-texture: tables of features and a small network
picture/    fitted: grids, a context model and a small network; gpu/ fits them with torch and Triton
material/   neural-texture: the maps of a material as small grids and one network
_adam       the optimiser of them all
"""
