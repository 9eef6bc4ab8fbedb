#!/bin/bash
# Move money between two accounts, if there is enough of it.
#
#     transfer.sh MOUNT FROM TO AMOUNT       accounts are counters: counters/bank/FROM
#
# Exit status 1: there is not enough.
set -u
here=$(dirname "$0")
[ $# = 4 ] || { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }

transfer() { # FROM TO AMOUNT, in the view $T
	local balance
	balance=$(cat "$T/counters/bank/$1") || return 2
	((balance >= $3)) || { echo "$1 has $balance" >&2; return 1; }
	echo "-$3" >"$T/counters/bank/$1" && echo "+$3" >"$T/counters/bank/$2"
}
export -f transfer
# shellcheck disable=SC2016 # the arguments of the inner shell
exec "$here/coordfs-commit" "$1" bash -c 'transfer "$@"' transfer "$2" "$3" "$4"
