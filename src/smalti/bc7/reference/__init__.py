"""Readable twins of the BC7 kernels, in plain NumPy, which tests compare with them.

decode                        a block to texels
encode, steps, pack           texels to a block
mode6                         the engines "pca" and "nelder-mead"
rdo, rdo_book, _fit, _rate    blocks to blocks that compress better
"""
