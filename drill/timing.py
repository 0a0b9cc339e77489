"""The default limits, timeouts and polling intervals of a drill, in seconds."""

from __future__ import annotations

#: An outage that lasts longer counts as endless. A stale neighbour entry of the router ends by itself after up to 49 s
#: (measured in the lab), so the limit is longer than that.
LIMIT = 60.0

#: The limit of a demonstration, which must be short. The tutorial's pair has outages without an end.
DEMONSTRATION_LIMIT = 15.0

#: The interval between two requests of the client. It is the resolution of every figure.
POLL_INTERVAL = 0.01

#: The interval on a cloud, which carries the traffic of others as well.
CLOUD_POLL_INTERVAL = 0.05

#: The client gives a request up after this time. A lost SYN is repeated after 1 s.
REQUEST_TIMEOUT = 1.0

#: The pair has to be healthy again within this time after an event. It covers the router's neighbour entry and a boot.
RECOVERY_TIMEOUT = 90.0

#: The same on a cloud, where a server may take minutes to boot.
CLOUD_RECOVERY_TIMEOUT = 900.0

#: The shortest observation of a self-healing event. The report needs both its beginning and its end.
SELF_HEALING_OBSERVATION = 5.0

#: Attempts to restore the pair after an event, and the time between two attempts.
RESTORE_ATTEMPTS = 12
RESTORE_RETRY_INTERVAL = 5.0
