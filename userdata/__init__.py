"""Everything that ends up on a server: the user-data's renderer, its templates, and the two programs of a member."""
