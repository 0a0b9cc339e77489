"""What a client sees while things go wrong with a pair, wherever the pair runs: in the lab, or on a cloud."""
