"""Serving an exported encoder: TF Serving's files, clients, a local server."""
