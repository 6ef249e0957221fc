"""Data: sources, the record contract, views and the input pipeline."""
