"""What topics are known for: gene scores and gene sets."""
