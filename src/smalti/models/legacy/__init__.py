"""R2IR and R2ID exactly as published (docs/R2_LEGACY.md).

r2, blocks                       the models, and their layers
names                            of the published checkpoints' tensors
sampling                         their schedule and sampler
fast_diffuser, fast_resampler    the same functions in less time, made of fast_parts
"""
