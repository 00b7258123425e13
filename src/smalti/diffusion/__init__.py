"""Schedules of noise, and samplers: functions that know no file, and models by their calls."""

from smalti.extras import need

need("torch", extra="models", what="diffusion")

from smalti.diffusion.draw import sample  # noqa: E402

__all__ = ["sample"]
