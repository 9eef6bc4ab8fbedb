#!/bin/bash
# A queue of jobs in files/jobs: each is taken once, by whichever host.
#
#     jobs.sh MOUNT put NAME <CONTENT        exit status 1: there is one of that name
#     jobs.sh MOUNT take                     takes the first by name and prints its name, a newline, its content;
#                                            exit status 1: there is none
set -u
here=$(dirname "$0")
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
[ $# -ge 2 ] || usage

take() { # OUTPUT: what was taken is kept here until it is committed
	local jobs=("$T"/files/jobs/*)
	[ -e "${jobs[0]}" ] || return 1
	{ echo "${jobs[0]##*/}" && cat "${jobs[0]}"; } >"$1" && rm -f "${jobs[0]}"
}
export -f take

case $2 in
put)
	[ $# = 3 ] || usage
	mkdir -p "$1/files/jobs" || exit 2
	new=$(mktemp "$1/files/.job-XXXXXXXXXX") || exit 2
	# What is in the queue is whole from the first moment: it is written before it gets its name.
	cat >"$new" && ln "$new" "$1/files/jobs/$3"
	status=$?
	rm -f "$new"
	exit $status
	;;
take)
	taken=$(mktemp) || exit 2
	trap 'rm -f "$taken"' EXIT
	# shellcheck disable=SC2016 # the arguments of the inner shell
	"$here/coordfs-commit" "$1" bash -c 'take "$@"' take "$taken" && cat "$taken"
	;;
*) usage ;;
esac
