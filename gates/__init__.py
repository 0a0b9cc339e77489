"""The commands that the engine runs while it makes or changes a pair, and what they ask the cloud.

Nothing here imports Pulumi: every gate is a process of its own, and the SDK takes half a second to load.
"""
