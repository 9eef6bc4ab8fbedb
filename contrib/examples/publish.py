#!/usr/bin/env python3
"""publish.py MOUNT DIRECTORY NAME: the directory's files become files/NAME/…, all at once.
publish.py MOUNT --read NAME DIRECTORY: a copy of files/NAME as it was at one moment."""

import pathlib
import sys

from coordfs_commit import commit


def publish(t, directory, name):
    there = t / "files" / name
    there.mkdir(parents=True, exist_ok=True)
    new = {f.name: f.read_bytes() for f in pathlib.Path(directory).iterdir()}
    for old in list(there.iterdir()):
        if old.name not in new:
            old.unlink()
    for file, content in new.items():
        (there / file).write_bytes(content)


def read_all(t, name):
    return {f.name: f.read_bytes() for f in (t / "files" / name).iterdir()}


if len(sys.argv) == 4:
    mount, directory, name = sys.argv[1:]
    commit(mount, lambda t: publish(t, directory, name))
elif len(sys.argv) == 5 and sys.argv[2] == "--read":
    mount, _, name, directory = sys.argv[1:]
    pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
    for file, content in commit(mount, lambda t: read_all(t, name)).items():
        (pathlib.Path(directory) / file).write_bytes(content)
else:
    sys.exit(__doc__)
