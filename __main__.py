"""The program that `pulumi up` runs: one pair, as the stack file describes it."""

import pulumi

from components import VrrpPair, VrrpPairArgs, preflight
from settings.stack_config import settings_from_stack_config

settings = settings_from_stack_config()
existing = preflight(settings, name="vrrp")
pair = VrrpPair("vrrp", VrrpPairArgs(settings, existing))

pulumi.export("url", pair.url)
pulumi.export("floatingIp", pair.floating_ip)
pulumi.export("vip", pair.vip)
if pair.vip6:
    pulumi.export("vip6", pair.vip6)
pulumi.export("members", pair.members)
