"""Which tier answers which request: scores, policies with a guarantee, their worth, and how one is followed."""
