"""A run over many cases: find them, isolate failures, resume, show progress, report."""
