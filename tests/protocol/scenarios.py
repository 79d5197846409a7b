"""How far the machine is explored: a quick version for every run of the tests, and a large one for `scripts/check_protocol`."""

from tests.protocol.model import Bounds

SMALL = {
    "back": Bounds(acts=3, says=3, orders=0, clicks=0, settles=0, flying=False, inbox=1),
    "settle": Bounds(begun=True, acts=1, says=0, orders=0, clicks=0, settles=1, flying=False),
    "repeating": Bounds(begun=True, acts=1, says=0, orders=0, clicks=0, settles=1, flying=False, repeatable=True),
    "gone": Bounds(begun=True, acts=1, says=0, orders=0, clicks=0, settles=1, flying=False, gone=True),
    "late": Bounds(acts=3, says=1, orders=0, clicks=2, settles=0, flying=False, ageing=True),
    "anew": Bounds(acts=4, says=2, orders=0, clicks=2, settles=0, flying=False, inbox=1, ageing=True),
    "again": Bounds(acts=4, says=1, orders=1, clicks=2, settles=0, flying=False, inbox=1, ageing=True),
    "talk": Bounds(acts=3, says=2, orders=1, clicks=2, settles=0, flying=False, inbox=1, ageing=True),
    "filing": Bounds(begun=True, acts=1, says=1, orders=1, clicks=1, settles=1, meddling=True, inbox=1),
    "settling": Bounds(begun=True, acts=2, says=0, orders=0, clicks=0, settles=2, flying=False, inbox=1),
    "clicking": Bounds(begun=True, acts=2, says=1, orders=0, clicks=1, settles=1, flying=False, inbox=1),
}
"""For wrong variants, of which there are many: the smallest first."""

QUICK = {
    "everything": Bounds(acts=3, says=3, orders=1, clicks=2, settles=1),
    "talk": Bounds(acts=4, says=3, orders=1, clicks=2, settles=0, flying=False, ageing=True),
    "filing": Bounds(begun=True, acts=1, says=1, orders=1, clicks=1, settles=1, meddling=True),
    "settling": Bounds(begun=True, acts=2, says=0, orders=0, clicks=0, settles=2),
    "clicking": Bounds(begun=True, acts=2, says=1, orders=0, clicks=1, settles=1, flying=False, inbox=1),
    "repeating": Bounds(begun=True, acts=2, says=0, orders=0, clicks=1, settles=1, flying=False, repeatable=True),
    "gone": Bounds(begun=True, acts=1, says=0, orders=0, clicks=0, settles=1, flying=False, gone=True),
}
"""For every run of the tests: half a minute on two cores."""

LARGE = {
    "everything": Bounds(acts=4, says=3, orders=1, clicks=2, settles=1, inbox=1, flying=False),
    "talk": Bounds(acts=5, says=3, orders=1, clicks=2, settles=0, inbox=1, flying=False, ageing=True),
    "filing": Bounds(begun=True, acts=2, says=1, orders=1, clicks=1, settles=1, meddling=True, inbox=1),
    "settling": Bounds(begun=True, acts=3, says=0, orders=0, clicks=0, settles=3, inbox=1, flying=False),
    "clicking": Bounds(begun=True, acts=2, says=1, orders=0, clicks=1, settles=1, inbox=1),
    "repeating": Bounds(begun=True, acts=2, says=0, orders=0, clicks=1, settles=2, repeatable=True),
    "gone": Bounds(begun=True, acts=2, says=0, orders=0, clicks=0, settles=2, inbox=1, flying=False, gone=True),
}
"""For `scripts/check_protocol`: some minutes."""
