"""The settings of a pair: their models and rules, and the reader of the stack file. Pulumi only in ``stack_config``."""

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
