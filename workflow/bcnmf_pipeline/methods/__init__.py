"""Methods to compare with, and the door through which every estimator is made."""
