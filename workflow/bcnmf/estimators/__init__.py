"""What users fit: contrast, shared and target topics, combined bases."""
