"""Closed-loop load on the emulated accelerator through a real Triton, against the reference's ladder."""
