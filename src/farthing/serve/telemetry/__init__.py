"""Who is told of every request: metrics, ledger, traces, and how routes fare."""
