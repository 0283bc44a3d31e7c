"""`repmedsam segment` and `convert`: reading.py and box_source.py (in) → scan_case.py → formats/ (out)."""
