"""The arguments with which the program runs the gates' commands.

The program imports them from here and not from the commands, because a command loads openstacksdk, which takes half a
second.
"""

#: The gate lets a pair pass that this `up` has just made.
UNLESS_NEW_PAIR = "unless-new-pair"

#: ``gates.teardown``: mark the pair as being torn down, or withdraw the mark.
MARK, WITHDRAW = "mark", "withdraw"
