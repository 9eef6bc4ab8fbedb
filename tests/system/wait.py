"""Waiters for wait.sh and wait_cluster.sh.

    wait.py many PATH COUNT     so many processes with a handle on PATH each, whose read waits: prints `open`, then what
                                they were told, each answer once with its number
    wait.py follow PATH COUNT   reads one handle until it has told so many lines; prints them
    wait.py poll PATH           poll(2) and epoll(7), while a child of the shell makes a change at each word that it reads
"""

import os
import select
import sys
import threading
from collections import Counter


def say(*words):
    print(*words, flush=True)


def told(fd):
    return os.pread(fd, 1 << 20, 0).decode()


def many(path, count):
    """A process each: threads of Python that wake at once would wait for each other."""
    out, into = os.pipe()
    for _ in range(int(count)):
        fd = os.open(path, os.O_RDONLY)
        if os.fork() == 0:
            try:
                text = told(fd)
            except OSError as error:
                text = os.strerror(error.errno) + "\n"
            os.write(into, text.encode())
            os._exit(0)
        os.close(fd)
    os.close(into)
    say("open")
    with os.fdopen(out) as lines:
        answers = Counter(lines)
    for text, number in sorted(answers.items()):
        say(number, text.strip())


def follow(path, count):
    fd = os.open(path, os.O_RDONLY)
    say("open")
    lines = 0
    while lines < int(count):
        text = told(fd)
        sys.stdout.write(text)
        lines += text.count("\n")


def step(word):
    """Have the other side do something, and wait until it is done."""
    say(word)
    assert sys.stdin.readline() == "done\n"


def poll(path):
    fd = os.open(path, os.O_RDONLY)
    by_poll = select.poll()
    by_poll.register(fd, select.POLLIN)
    by_epoll = select.epoll()
    by_epoll.register(fd, select.EPOLLIN | select.EPOLLET)
    assert by_poll.poll(0) == [], "nothing has changed"
    assert by_epoll.poll(0) == [], "nothing has changed, by epoll"
    step("change")
    assert by_poll.poll(10000) == [(fd, select.POLLIN)], "a change"
    assert by_epoll.poll(10) == [(fd, select.EPOLLIN)], "a change, by epoll"
    assert by_poll.poll(0) == [(fd, select.POLLIN)], "it is not told yet"
    say(told(fd).split()[1])
    assert by_poll.poll(0) == [], "it is told"
    for _ in range(2):
        timer = threading.Timer(0.2, step, ["change"])
        timer.start()
        assert by_poll.poll(10000) == [(fd, select.POLLIN)], "a change while poll waits"
        timer.join()
        assert by_epoll.poll(10) == [(fd, select.EPOLLIN)], "edge-triggered, again"
        say(told(fd).split()[1])
    step("change")
    step("change")
    say(told(fd).split()[1])
    assert by_poll.poll(0) == [(fd, select.POLLIN)], "the second one is not told yet"
    say(told(fd).split()[1])
    assert by_poll.poll(0) == [], "both are told"


if __name__ == "__main__":
    {"many": many, "follow": follow, "poll": poll}[sys.argv[1]](*sys.argv[2:])
