"""Small language models that draw, complete and name pictures.

artist     a trained model, by words and pictures
canvas     between anybody's picture and the model's
train      training one, by a recipe of `train.recipes.language`
labelled   pictures with labels, to learn from
sequences  captions and codes as rows of ids
words      a tokenizer of the captions' words
"""

from smalti.extras import need_torch

need_torch(what="a language model of pictures")
