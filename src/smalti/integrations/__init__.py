"""Other people's libraries: our models in the shapes that they expect; each an optional package."""
