"""Figures that show how a codec works, drawn from the real data of a real picture."""
