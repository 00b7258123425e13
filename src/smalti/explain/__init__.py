"""Figures that show how a codec works, drawn from the real data of a real picture."""

from smalti.extras import need

need("matplotlib", extra="explain", what="drawing figures")
