"""Is it real: tests of units, a null for the whole fit, and diagnostics of what went wrong."""
