"""The data as solvers see them: passes over X, on any device, in memory or on disk."""
