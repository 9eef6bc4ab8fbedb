#!/bin/bash
# Every source and every test is in a local.mk: what is not listed is not built, not run, not in the tarball.
set -eu
cd "${top_srcdir:?}"
bad=0

# expect FILE: as it is, or, for a program of one source, without .c
expect() {
	local pattern=${1//./\\.}
	[[ $1 != tests/*.c ]] || pattern=${1%.c}'(\.c)?'
	grep -qE "(^|[[:space:]])$pattern([[:space:]]|\$)" ./*/local.mk Makefile.am && return
	echo "$1 is in no local.mk"
	bad=1
}

while read -r file; do
	case $file in
	*.pb-c.[ch]) continue ;;
	esac
	expect "$file"
done < <(find src include tests contrib -name '*.[ch]' 2>/dev/null | sort)

while read -r file; do
	expect "$file"
done < <(find tests/system tests/tidy tests/fault -name '*.sh' 2>/dev/null | sort)

exit $bad
