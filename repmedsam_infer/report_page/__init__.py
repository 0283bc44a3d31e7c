"""`repmedsam report`, a run as one HTML page: results.py (in) → objects, charts, cases → page.py (out); see make.py.

template/ has the page's markup, style and script.
"""
