#!/usr/bin/env python3
"""appender MOUNT CLIENT STOP: (client: 0 to 63) transactions on a mount, until the file STOP is there; what each did and saw goes to
stdout, a line of JSON each, for serializable.py:

    {"start": NS, "end": NS, "result": "ok" | "failed" | "unknown", "total": N or null,
     "reads": {LIST: [NUMBER, …]}, "appends": {LIST: NUMBER}}

Each reads some of the files files/list/0 … and appends a number of its own to some, or moves money between counters of
counters/bank, whose total it reads in its view first. Times are of the machine's monotonic clock: clients on its
hosts share it."""

import errno
import json
import os
import random
import sys
import time

LISTS = 5
AGAIN = {errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.ENOTCONN, errno.ECONNABORTED, errno.ENOENT, errno.EIO, errno.ESTALE}


def read(path):
    with open(path) as f:
        return f.read()


def write(path, text):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def work_on_lists(t, number, what):
    """Reads come before own appends: what is read is the view of the beginning."""
    for name in random.sample(range(LISTS), random.randint(1, 3)):
        path = f"{t}/files/list/{name}"
        if random.random() < 0.8:
            what["reads"][name] = [int(line) for line in read(path).split()]
        if random.random() < 0.6:
            write(path, f"{number}\n")
            what["appends"][name] = number


def work_at_the_bank(t, what):
    accounts = sorted(os.listdir(f"{t}/counters/bank"))
    what["total"] = sum(int(read(f"{t}/counters/bank/{a}")) for a in accounts)
    source, target = random.sample(accounts, 2)
    write(f"{t}/counters/bank/{source}", "-3\n")
    write(f"{t}/counters/bank/{target}", "+3\n")


def transaction(mount, name, number):
    t = f"{mount}/transactions/{name}"
    what = {"start": time.monotonic_ns(), "result": "failed", "total": None, "reads": {}, "appends": {}}
    try:
        os.mkdir(t)
        if random.random() < 0.7:
            work_on_lists(t, number, what)
        else:
            work_at_the_bank(t, what)
    except OSError as e:
        if e.errno not in AGAIN:
            raise
        what["appends"] = {}
        time.sleep(0.2)
        what["end"] = time.monotonic_ns()
        return what
    try:
        write(f"{t}/ctl", "commit\n")
        what["result"] = "ok"
    except OSError as e:
        if e.errno not in AGAIN | {errno.ECANCELED, errno.EPERM, errno.EROFS}:
            raise
        # of ETIMEDOUT and a mount that died nothing is known
        what["result"] = "failed" if e.errno == errno.ECANCELED else "unknown"
    what["end"] = time.monotonic_ns()
    return what


def main():
    mount, client, stop = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    random.seed(client * 7919 + time.time_ns())
    for i in range(1, 1000000):
        name = f"append-{client}-{i}-{os.getpid()}"
        number = time.monotonic_ns() * 64 + client  # nobody's else, also not of one before that was killed
        print(json.dumps(transaction(mount, name, number)), flush=True)
        try:
            os.rmdir(f"{mount}/transactions/{name}")
        except OSError:
            pass
        if os.path.exists(stop):
            return


main()
