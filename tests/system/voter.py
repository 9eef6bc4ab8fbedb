#!/usr/bin/env python3
"""voter MOUNT VOTE NAME [SEED]: a participant of a vote that has registered. Waits for prepare, votes (yes, seldom no,
by the seed), acknowledges in a 3pc, and prints the outcome as it reads it: commit or abort, and what it said before
("yes commit"). Any errno that means "not now" is tried again."""

import errno
import os
import random
import sys
import time

AGAIN = {errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.EINTR, errno.EIO, errno.ESTALE}
GONE = {errno.ENOTCONN, errno.ECONNABORTED, errno.ENOENT, errno.ENOTDIR}  # the mount, until it is there again


def patiently(what):
    deadline = time.monotonic() + 100
    while True:
        try:
            return what()
        except OSError as e:
            if e.errno not in AGAIN | GONE or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def read(path):
    def once():
        with open(path) as f:
            return f.read().strip()

    return patiently(once)


def write(path, text):
    """True: taken; False: too late, it is decided."""

    def once():
        fd = os.open(path, os.O_WRONLY)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    try:
        patiently(once)
        return True
    except OSError as e:
        if e.errno != errno.ECANCELED:
            raise
        return False


def main():
    mount, vote, name, seed = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    chance = random.Random(seed * 1000003 + hash_of(name))
    v = f"{mount}/votes/{vote}"
    said = "nothing"
    read(f"{mount}/.wait/votes/{vote}/prepare")
    time.sleep(chance.random() * 0.05)
    answer = "no" if chance.random() < 0.1 else "yes"
    if write(f"{v}/participants/{name}/vote", answer + "\n"):
        said = answer
    if read(f"{mount}/.wait/votes/{vote}/precommit") == "precommit":
        write(f"{v}/participants/{name}/ack", "ack\n")
    print(said, read(f"{mount}/.wait/votes/{vote}/outcome"))


def hash_of(name):
    return sum(ord(c) * 31**i for i, c in enumerate(name))


main()
