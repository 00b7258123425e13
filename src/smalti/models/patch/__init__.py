"""The patch autoencoder.

model    as it is specified and trained
stages   one upon another
init     the best linear code of a picture's patches, to begin with
fast     the same function in less time
"""
