"""Compiled inner loops for the CPU."""
