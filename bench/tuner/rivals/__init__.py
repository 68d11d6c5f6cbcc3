"""Ours beside what others tune a Triton with, on one real server: `python -m bench.tuner rivals`."""
