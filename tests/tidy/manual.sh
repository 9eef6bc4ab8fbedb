#!/bin/bash
# mandoc finds nothing to warn of in any man page.
set -eu
cd "${top_srcdir:?}"
command -v mandoc >/dev/null || { echo "skipped: no mandoc (contrib/install-deps)"; exit 77; }

count=0
for page in doc/*.[1-8]; do
	[ -e "$page" ] || continue
	count=$((count + 1))
	if mandoc -T lint -W warning "$page"; then
		echo "ok - $page"
	else
		echo "not ok - $page"
	fi
done
[ $count -gt 0 ] || { echo "no man page in doc/"; exit 1; }
echo "1..$count"
