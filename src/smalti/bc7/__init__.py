"""BC7 texture blocks: 4 x 4 RGBA texels in 16 bytes, as GPUs read them.

layout, partitions   the tables of the format
decode               blocks -> texels, all eight modes
encode               texels -> blocks: which modes and partitions to try, at which effort
  work, metric         the arrays of one block's search; what is made least
  rank                 the error to expect of every partition, from moments
  trials               one try of one mode, made of
    quantisers           first indices,
    lines                endpoints, indices, error,
    pack                 and the 128 bits
rdo                  blocks -> blocks that compress better
seed                 the two engines "pca" and "nelder-mead"
reference            readable twin of the decoder, which tests compare with the kernels
reference_encode, _steps, _pack, rdo_reference, _*, seed_reference   of the encoder, of rdo, of seed
"""
