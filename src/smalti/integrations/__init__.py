"""Other people's libraries: our models in the shapes that they expect; each an optional package."""

from smalti.extras import need_torch

need_torch(extra="diffusers", what="an adapter for other libraries")
