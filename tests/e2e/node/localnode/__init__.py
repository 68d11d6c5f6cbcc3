"""A real one-machine Kubernetes node behind a `kind`-compatible command line.

Standard library only: this code runs before anything is installed.
"""
