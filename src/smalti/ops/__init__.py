"""Pure tensor functions that models and codecs share."""
