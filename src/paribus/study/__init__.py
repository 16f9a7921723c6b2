"""Fair comparison: plan, trials, ledger, verdict, report."""
