"""Everything that ends up on a server: the renderer of the user-data, its templates, and the programs of a member."""
