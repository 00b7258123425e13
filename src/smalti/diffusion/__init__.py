"""Schedules of noise, and samplers: functions that know no file, and models by their calls."""

from smalti.extras import need_torch

need_torch(what="diffusion")

from smalti.diffusion.sampling import sample  # noqa: E402

__all__ = ["sample"]
