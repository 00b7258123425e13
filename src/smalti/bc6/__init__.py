"""BC6H texture blocks: 4 x 4 texels of high dynamic range in 16 bytes, as GPUs read them.

layout            the tables of the format; its partitions are those of BC7
decode            blocks -> texels, all fourteen modes, unsigned and signed
encode, search    texels -> blocks, and the numbers of its search at each effort
reference/        readable twins of the kernels, which tests compare with them
"""
