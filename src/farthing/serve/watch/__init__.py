"""Who is told of every request: metrics, the live page, the ledger, traces, and the second listener that shows them."""
