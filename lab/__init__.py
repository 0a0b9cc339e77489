"""The pair's own stack on one machine: the same program, with the kernel in OpenStack's place."""
