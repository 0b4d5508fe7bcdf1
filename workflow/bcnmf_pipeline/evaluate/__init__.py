"""Scores against held-out labels, and the tables that figures are drawn from."""
