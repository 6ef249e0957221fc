"""One file a study: which table or figure, what is expected, at what cost."""
