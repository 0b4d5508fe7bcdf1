"""Figures, one module each: functions from tables to a matplotlib Figure."""
