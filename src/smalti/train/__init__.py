"""Training makes weights; nothing that encodes or decodes imports this package."""
