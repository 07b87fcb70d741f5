"""What was run, routed and measured, in records each of which holds the hash of the one before."""
