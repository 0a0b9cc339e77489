"""Tier 1, without a cloud, a kernel or a network: what the program *says*.

Everything here runs the real program against a provider that only writes down what it is asked, or calls a pure
function. That proves the declarations: every value, every dependency, every message, every byte of the user-data.
It can't prove that keepalived understands its file or that a failover takes as long as we say (tests/lab, with the
kernel and keepalived itself), nor that Neutron and Nova take what the provider makes of it (tests/cloud).
"""
