"""BC7 texture blocks: 4 x 4 RGBA texels in 16 bytes, as GPUs read them.

layout, partitions   the tables of the format
decode               blocks -> texels, all eight modes
encode, search       texels -> blocks, and the numbers of its search at each effort
metric               what is made least
rdo                  blocks -> blocks that compress better
mode6                the two engines "pca" and "nelder-mead"
gpu/                 the encoder as compute shaders
reference/           readable twins of the kernels, which tests compare with them
"""
