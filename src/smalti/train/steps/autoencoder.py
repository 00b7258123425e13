"""What a step of training an autoencoder computes: pictures in [0, 1] to the loss."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from smalti.models.base import Model
from smalti.train.precision import Precision

if TYPE_CHECKING:
    from smalti.train.recipes.recipe import Recipe


class AutoencoderStep(nn.Module):
    """Pictures in [0, 1] to the loss; one `forward`, as data-parallel training wants it."""

    model: Any  # one of `Model`; of two stages where `latent_loss`
    loss: Any  # of the recipe

    def __init__(self, recipe: "Recipe", model: Model, precision: Precision) -> None:
        super().__init__()
        self.model, self.loss, self.precision = model, recipe.loss, precision
        self.black, self.noise = recipe.black, recipe.latent_noise
        self.latent_loss = recipe.latent_loss

    def forward(self, x: Tensor) -> Tensor:
        levels, x = x, 2 * x - 1
        with self.precision.autocast():
            if self.latent_loss:
                x = self.model.between(x)
                x_hat = self.model.second(x)
            else:
                x_hat = self.model(x) if not self.noise else self._through_noise(x)
        if self.black == 0:
            return self.loss((x_hat.float() + 1) / 2, levels.float())
        return self.loss(x_hat.float(), x.float())

    def _through_noise(self, x: Tensor) -> Tensor:
        """Decode z + uniform noise one quantiser step wide, the usual stand-in for rounding."""
        z = self.model.encode(x)
        return self.model.decode(z + self.noise * (torch.rand_like(z) - 0.5))
