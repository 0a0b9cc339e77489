"""A highly available pair of servers on OpenStack: the component, and the preflight that it needs."""

from .preflight import ExistingResources, PreflightError, preflight
from .vrrp_pair import VrrpPair, VrrpPairArgs

__all__ = [
    "ExistingResources",
    "PreflightError",
    "VrrpPair",
    "VrrpPairArgs",
    "preflight",
]
