"""Run the pair's program on one machine, with the kernel in OpenStack's place."""
