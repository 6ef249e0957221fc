"""Greedy InfoMax for TensorFlow: gradient-isolated self-supervised learning."""

__version__ = "0.1.0"
