#!/bin/bash
# The lengths of functions may not get worse: the 95th percentile and the longest are compared with those recorded in
# functions.limit. Lengths are lines between a function's braces; the kernel's style makes them easy to find.
#
#     tests/tidy/functions.sh --record     write today's lengths into functions.limit (after making them better)
set -eu
: "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
cd "$top_srcdir"
limit=tests/tidy/functions.limit

# lengths: "LINES FILE:LINE" for each function
lengths() {
	find src -name '*.c' ! -name '*.pb-c.c' -exec awk '
		FNR == 1 { start = 0 }
		/^\{/ { start = FNR }
		/^\}/ && start { print FNR - start - 1, FILENAME ":" start; start = 0 }' {} + | sort -n
}

all=$(lengths)
count=$(wc -l <<<"$all")
nth() { sed -n "${1}p" <<<"$all"; }
median=$(nth $(((count + 1) / 2)) | cut -d' ' -f1)
p95=$(nth $(((count * 95 + 99) / 100)) | cut -d' ' -f1)
max=$(nth "$count" | cut -d' ' -f1)
echo "$count functions: median $median, p95 $p95, longest $max lines"

if [ "${1-}" = --record ]; then
	printf '# lines a function; see functions.sh\np95=%d\nmax=%d\n' "$p95" "$max" >$limit
	exit
fi

limit_of() { sed -n "s/^$1=//p" $limit; }
check() {
	if [ "$3" -le "$(limit_of "$2")" ]; then
		echo "ok $1 - $2 $3, limit $(limit_of "$2")"
	else
		tail -n 8 <<<"$all"
		echo "not ok $1 - $2 $3, limit $(limit_of "$2")"
	fi
}
check 1 p95 "$p95"
check 2 max "$max"
echo 1..2
