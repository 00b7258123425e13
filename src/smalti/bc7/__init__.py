"""BC7 texture blocks: 4 x 4 RGBA texels in 16 bytes, as GPUs read them.

layout, partitions   the tables of the format
decode               blocks -> texels, all eight modes
encode               texels -> blocks: mode 6, found by mode6 with the loops of mode6_loops
reference            readable twins of decoder and encoder, which tests compare with the kernels
dds                  the container
threads              one kernel over bands of rows
"""
