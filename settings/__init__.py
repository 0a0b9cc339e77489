"""What an operator decides about a pair: the models, their rules, and the reader of the stack file."""

from .pair import AntiAffinity, MemberSettings, PairSettings, Role
from .parsing import SettingsError, parse_settings
from .service import Check, Service

__all__ = [
    "AntiAffinity",
    "Check",
    "MemberSettings",
    "PairSettings",
    "Role",
    "Service",
    "SettingsError",
    "parse_settings",
]
