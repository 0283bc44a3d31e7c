"""The page in the browser: its server, on the person's own machine."""
