"""R2IR's and R2ID's published names of tensors, and ours."""

from torch import Tensor

from smalti.models.originals import renamed


def from_original(tensors: dict[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    """The original's state dict under our keys, 1 x 1 convolutions as linear layers."""
    return {
        key: value[:, :, 0, 0] if value.shape[2:] == (1, 1) else value
        for key, value in renamed(tensors, names).items()
    }


# The original's name -> ours.
_SHARED = {
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "out_proj": "out",
    "norm_q": "query_norm",
    "norm_k": "key_norm",
    "ffn_scalar": "ffn_scale",
    "final_scalar": "out_scale",
    "enc_blocks": "encoder",
    "dec_blocks": "decoder",
    "pos_embed.frequencies": "",
}
RESAMPLER = _SHARED | {
    "color_to_embed_proj": "image_in",
    "pos_to_embed_proj": "position_in",
    "latent_to_embed_proj": "latent_in",
    "enc_out_proj.0": "latent_out",
    "dec_out_proj.0": "image_out",
    "attn_ada": "attention_norm",
    "attn": "attention",
    "attn_scalar": "attention_scale",
}
DIFFUSER = _SHARED | {
    "proj_to_latent": "latent_in",
    "latent_to_epsilon": "noise_out",
    "film_proj": "film",
    "gb.0": "film",
    "self_ada": "self_norm",
    "cross_ada": "cross_norm",
    "ffn_ada": "ffn_norm",
    "self_attn.mha": "self_attention",
    "cross_attn.mha": "cross_attention",
    "self_scalar": "self_scale",
    "cross_scalar": "cross_scale",
    "ffn.net": "ffn",
    "time_embed.frequencies": "",
}
LABEL_ENCODER = {"token_proj": "tokens", "token_norm": "norm"}
