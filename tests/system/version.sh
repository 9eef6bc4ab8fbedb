#!/bin/bash
# coordfs -V names the program and its version.
set -eu
out=$("$COORDFS" -V)
case $out in
"coordfs $COORDFS_VERSION") echo "ok 1 - -V prints $out" ;;
*) echo "not ok 1 - -V prints '$out', not 'coordfs $COORDFS_VERSION'" ;;
esac
echo 1..1
