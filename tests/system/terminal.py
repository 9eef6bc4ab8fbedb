#!/usr/bin/env python3
"""terminal.py COMMAND...: a shell on a terminal of its own (it is bash, with job control), fed by a script from stdin.

Each line of the script is one of
    send TEXT        type it; \\n, \\x03 and the like are what they are in Python
    want TEXT        wait until it appears in what came since the last `want`; 20 seconds at most
    job TEXT         wait until the terminal's foreground group is of a process whose command line has TEXT in it
All that the shell wrote goes to stdout when a `want` or `job` is in vain, with exit status 1."""
import os, pty, select, signal, sys, time

LIMIT_S = 20


def group_has(group, text):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as stat, open(f"/proc/{pid}/cmdline", "rb") as line:
                if int(stat.read().rsplit(")", 1)[1].split()[2]) == group and text in line.read().replace(b"\0", b" ").decode():
                    return True
        except (OSError, ValueError):
            pass
    return False


class Terminal:
    def __init__(self, argv):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            os.execvp(argv[0], argv)
        self.all = self.new = ""

    def hear(self, seconds):
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                text = os.read(self.fd, 65536).decode(errors="replace")
            except OSError:  # all have closed it
                text = ""
                time.sleep(seconds)
            self.all += text
            self.new += text

    def until(self, what, condition):
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            if time.monotonic() > deadline:
                print(f"in vain waited for {what}; the terminal says:\n{self.all}")
                os.kill(self.pid, signal.SIGKILL)
                sys.exit(1)
            self.hear(0.05)

    def send(self, text):
        os.write(self.fd, text.encode().decode("unicode_escape").encode("latin-1"))

    def want(self, text):
        self.until(repr(text), lambda: text in self.new)
        self.new = self.new.split(text, 1)[1]

    def job(self, text):
        self.until(f"{text!r} in the foreground", lambda: group_has(os.tcgetpgrp(self.fd), text))


terminal = Terminal(sys.argv[1:])
for line in sys.stdin:
    word, _, rest = line.rstrip("\n").partition(" ")
    getattr(terminal, word)(rest)
os.close(terminal.fd)
os.waitpid(terminal.pid, 0)
