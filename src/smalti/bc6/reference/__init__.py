"""The kernels of native/bc6 in NumPy: to be read, and to be compared with, bit for bit.

decode    one block to its texels
encode    many blocks side by side, as in the kernel's lanes
pack      what a block stores -> 16 bytes
"""
