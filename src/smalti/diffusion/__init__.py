"""Schedules of noise, and samplers: functions that know no file, and models by their calls."""

from smalti.diffusion.draw import sample

__all__ = ["sample"]
