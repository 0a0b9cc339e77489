"""What a client sees of a failure of a pair, in the lab or on a cloud."""
