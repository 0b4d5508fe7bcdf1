"""The first step with one's own data: look into the file, write its sheet and configuration."""
