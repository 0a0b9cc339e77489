"""Several pairs in one program: compare_speed.py puts it into the place of the project's own `__main__.py`.

The configuration key `pairs` is the number of the pairs. Each has its own network, so their addresses may be equal.
"""

from __future__ import annotations

import pulumi

from components import VrrpPair, VrrpPairArgs, preflight
from settings import PairSettings

config = pulumi.Config("many-pairs")
prefix = config.require("namePrefix")

for number in range(config.require_int("pairs")):
    name = f"{prefix}-{number}"
    settings = PairSettings.model_validate(
        {
            "name_prefix": name,
            "key_name": f"{name}-key",
            "public_key": config.require("publicKey"),
            "image": config.require("image"),
            "flavor": config.require("flavor"),
            "external_network": config.require("externalNetwork"),
        }
    )
    pulumi.export(name, VrrpPair(name, VrrpPairArgs(settings, preflight(settings, name=name))).url)
