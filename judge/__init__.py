"""Judges the tuner: simulated servers whose truth is known, the best that can be had of them, and who got how near.

Shares with the tuner only the values that go in and out of it (`edgedetector.tuning.{window,situation,evidence,decision}`);
only `judge.harness` calls it.
"""
