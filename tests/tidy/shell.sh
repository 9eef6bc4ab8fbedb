#!/bin/bash
# No script has anything that shellcheck warns of:
set -eu
cd "${top_srcdir:?}"
command -v shellcheck >/dev/null || { echo "skipped: no shellcheck (contrib/install-deps)"; exit 77; }

scripts() {
	find bootstrap contrib tests .ci -type f -exec awk '
		FNR == 1 && /^#!.*[\/ ](ba|da)?sh( |$)/ { print FILENAME }
		{ nextfile }' {} + 2>/dev/null | sort
}

mapfile -t files < <(scripts)
[ ${#files[@]} -gt 3 ] || { echo "only ${#files[@]} scripts found in $top_srcdir"; exit 1; }
for file in "${files[@]}"; do
	if shellcheck --severity=warning --format=gcc "$file"; then
		echo "ok - $file"
	else
		echo "not ok - $file"
	fi
done
echo "1..${#files[@]}"
