"""A highly available pair of servers on OpenStack: the component and what goes into it."""

from .preflight import Cloud, PreflightError, preflight
from .settings import AntiAffinity, Member, PairSettings, Role
from .stack_config import SettingsError, settings_from_stack_config
from .vrrp_pair import VrrpPair, VrrpPairArgs

__all__ = [
    "AntiAffinity",
    "Cloud",
    "Member",
    "PairSettings",
    "PreflightError",
    "Role",
    "SettingsError",
    "VrrpPair",
    "VrrpPairArgs",
    "preflight",
    "settings_from_stack_config",
]
