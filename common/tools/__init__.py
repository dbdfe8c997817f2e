"""Tools of the repository: commands, preparation of challenges, cross-validation, packaging. Nothing of it ships."""
