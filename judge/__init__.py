"""Judges the tuner: simulated servers whose truth is known, the best that can be had of them, and who got how near.

Shares with the tuner only the values that go in and out of it (window, situation, decision in `edgedetector.tuning`);
only `judge.harness` calls it.
"""
