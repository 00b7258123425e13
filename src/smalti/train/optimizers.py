"""Muon for the weight matrices, AdamW for the rest."""

import torch
from torch import Tensor, nn


class MuonAdamW:
    """Two optimisers behind one: Muon on hidden weights, AdamW on everything else.

    `torch.optim.Muon` takes matrices only. A convolution `O I kh kw` is the matrix `O (I kh kw)`,
    so Muon gets a flattened view of the same storage, and its step size follows the shape of that
    view. Layers that touch picture channels, biases and norms stay with AdamW.

    Muon: Jordan et al. 2024, kellerjordan.github.io/posts/muon.
    """

    def __init__(self, model: nn.Module, *, lr_muon: float, lr_adamw: float) -> None:
        self.hidden = [p for p in model.parameters() if p.ndim >= 2 and min(p.shape[:2]) > 4]
        hidden = {id(p) for p in self.hidden}
        others = [p for p in model.parameters() if id(p) not in hidden]
        self.matrices = [nn.Parameter(p.detach().view(p.shape[0], -1)) for p in self.hidden]
        self.muon = torch.optim.Muon(self.matrices, lr=lr_muon, weight_decay=0.0)
        self.adamw = torch.optim.AdamW(others, lr=lr_adamw, betas=(0.9, 0.95), weight_decay=1e-4)
        self.peaks = (lr_muon, lr_adamw)

    def step(self, scale: float) -> None:
        """One step at `scale` times the peak learning rates; clears the gradients."""
        for matrix, parameter in zip(self.matrices, self.hidden, strict=True):
            matrix.grad = _flat(parameter.grad)
        for optimizer, peak in zip((self.muon, self.adamw), self.peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * scale
            optimizer.step()
            optimizer.zero_grad()
        for parameter in self.hidden:
            parameter.grad = None

    def state_dict(self) -> dict:
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self.muon.load_state_dict(state["muon"])
        self.adamw.load_state_dict(state["adamw"])


def _flat(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient.reshape(gradient.shape[0], -1)
