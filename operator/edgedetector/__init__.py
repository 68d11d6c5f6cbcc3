"""Kubernetes operator for edge video inference."""

__version__ = "0.1.0"
