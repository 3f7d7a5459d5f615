"""What each family of optimizers is compared with: a file for a family, with its `CASES`."""
