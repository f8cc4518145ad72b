"""Which tier answers which request: scores, policies, thresholds with a guarantee, and what they are worth."""
