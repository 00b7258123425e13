"""Schedules of noise, and samplers: functions that know no model and no file."""
