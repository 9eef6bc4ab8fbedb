#!/bin/bash
# Publish a directory of configuration files: every reader sees all of the old ones or all of the new ones.
#
#     publish.sh MOUNT DIRECTORY NAME        its files become files/NAME/…
#     publish.sh MOUNT --read NAME DIRECTORY a copy of files/NAME as it was at one moment
set -u
here=$(dirname "$0")
[ $# = 3 ] || [ $# = 4 ] || { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }

publish() { # DIRECTORY NAME
	local old
	mkdir -p "$T/files/$2" || return
	for old in "$T/files/$2"/*; do
		[ -e "$1/${old##*/}" ] || rm -f "$old" || return
	done
	cp "$1"/* "$T/files/$2/"
}
read_all() { mkdir -p "$2" && cp "$T/files/$1"/* "$2/"; } # NAME DIRECTORY
export -f publish read_all
# shellcheck disable=SC2016 # the arguments of the inner shell
if [ "$2" = --read ]; then
	exec "$here/coordfs-commit" "$1" bash -c 'read_all "$@"' read "$3" "$4"
else
	exec "$here/coordfs-commit" "$1" bash -c 'publish "$@"' publish "$2" "$3"
fi
