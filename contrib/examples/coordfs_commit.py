"""Transactions of a coordfs mount: commit(mount, work) calls work(t) with the transaction's directory (a pathlib.Path),
commits, and calls it again on a new view when what it read was changed by others meanwhile. What work returns is
returned; an exception of it rolls back."""

import errno
import os
import pathlib
import random
import secrets
import time


class Unknown(Exception):
    """Whether it is committed could not be learnt now; .info/transactions/NAME will tell."""


def _outcome(t):
    for _ in range(600):
        status = (t / "status").read_text().strip()
        if status != "undecided":
            return status
        time.sleep(0.1)
    raise Unknown(t.name)


def commit(mount, work, tries=1000):
    for _ in range(tries):
        t = pathlib.Path(mount) / "transactions" / secrets.token_hex(8)
        t.mkdir()
        try:
            result = work(t)
        except BaseException:
            t.rmdir()
            raise
        try:
            with open(t / "ctl", "w") as ctl:
                ctl.write("commit\n")
        except OSError as e:
            if e.errno not in (errno.ECANCELED, errno.ETIMEDOUT):
                raise
        committed = _outcome(t).startswith("committed")
        t.rmdir()
        if committed:
            return result
        time.sleep(random.random() / 10)
    raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))
