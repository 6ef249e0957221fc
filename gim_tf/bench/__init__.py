"""Measurements: what a training step, its input and a probe cost.

One file a bench. Each returns what the command line prints as a table and as
one line of JSON. Nothing is imported here: memory is counted from the moment
at which the libraries are loaded and nothing is built.
"""
