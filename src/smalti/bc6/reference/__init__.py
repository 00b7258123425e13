"""The kernels of native/bc6 in NumPy: to be read, and to be compared with, bit for bit."""
