#!/usr/bin/env python3
"""transfer.py MOUNT FROM TO AMOUNT: move money between two accounts, which are counters, if there is enough of it.
Exit status 1: there is not."""

import sys

from coordfs_commit import commit


def transfer(t, source, target, amount):
    accounts = t / "counters" / "bank"
    balance = int((accounts / source).read_text())
    if balance < amount:
        return False
    (accounts / source).write_text(f"-{amount}\n")
    (accounts / target).write_text(f"+{amount}\n")
    return True


if len(sys.argv) != 5:
    sys.exit(__doc__)
mount, source, target, amount = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
if not commit(mount, lambda t: transfer(t, source, target, amount)):
    print(f"{source} has not enough", file=sys.stderr)
    sys.exit(1)
