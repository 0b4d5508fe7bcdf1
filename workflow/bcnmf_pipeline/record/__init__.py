"""What the other stages write and note down: tables, logs, digests, archives."""
