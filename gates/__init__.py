"""The commands that the engine runs between the resources of a pair, and the questions that they ask the cloud.

No module here imports Pulumi: every gate is a process of its own, and the SDK takes half a second to load.
"""
