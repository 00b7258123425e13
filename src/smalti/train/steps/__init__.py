"""What one step of training computes: a batch to its loss, one file a family of models."""
