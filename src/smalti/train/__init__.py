"""Training makes weights; nothing that encodes or decodes imports this package.

recipes/    what decides the weights: plain numbers, each of which can be set; a file a family
run         training by a recipe
loop        one step a line, over one device or many processes
steps/      what a step computes
data        batch number `step` as a pure function of (seed, step)
sources     folders, tar files and arrays as one indexed set of pictures
boxes       procedural RGBA pictures
losses      functions of a reconstruction and its target
optimizers  AdamW, Muon, and SNOO around either
checkpoints two of them, atomic, checked
progress    log, validation pictures, TensorBoard
fused       the same functions of a model's layers, in less time
"""

from smalti.extras import need_torch

need_torch(extra="train", what="training")
