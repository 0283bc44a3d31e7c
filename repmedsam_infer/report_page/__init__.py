"""`repmedsam report`, a run as one HTML page: results.py (in) → objects, charts, cases → page.py (out); see make.py.

The .jinja files are the templates of the page's markup.
"""
