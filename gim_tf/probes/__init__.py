"""Probes of frozen representations; they see functions, never encoders."""
