#!/usr/bin/env python3
"""jobs.py MOUNT put NAME <CONTENT: exit status 1: there is one of that name.
jobs.py MOUNT take: takes the first by name and prints its name, a newline, its content; exit status 1: there is none."""

import pathlib
import sys

from coordfs_commit import commit


def put(t, name, content):
    jobs = t / "files" / "jobs"
    jobs.mkdir(exist_ok=True)
    if (jobs / name).exists():
        return False
    (jobs / name).write_bytes(content)
    return True


def take(t):
    jobs = t / "files" / "jobs"
    names = sorted(f.name for f in jobs.iterdir()) if jobs.exists() else []
    if not names:
        return None
    content = (jobs / names[0]).read_bytes()
    (jobs / names[0]).unlink()
    return names[0], content


if len(sys.argv) == 4 and sys.argv[2] == "put":
    data = sys.stdin.buffer.read()
    sys.exit(0 if commit(sys.argv[1], lambda t: put(t, sys.argv[3], data)) else 1)
if len(sys.argv) != 3 or sys.argv[2] != "take":
    sys.exit(__doc__)
job = commit(sys.argv[1], take)
if not job:
    sys.exit(1)
print(job[0], flush=True)
sys.stdout.buffer.write(job[1])
