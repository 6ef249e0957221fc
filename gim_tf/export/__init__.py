"""Trained encoders as SavedModels, with a manifest of what they are."""
