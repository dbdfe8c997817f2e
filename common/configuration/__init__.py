"""A bundle's configurations: their files, what they may hold, and running them."""
