"""Pictures as fitted grids, a context model and a small network; docs/FORMAT.md has the bytes."""
