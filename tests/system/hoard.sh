#!/bin/bash
# A user who holds as many locks as one may: he gets no more, on any host, and is told why; others, and root, are served as
# before; and what he gives back he may take again.
#
# USER_LOCKS, how many one user may hold.
# shellcheck disable=SC2154 # actors set NAME_pid
# shellcheck source=tests/system/cluster.sh
. "$(dirname "$0")/cluster.sh"
: "${USER_LOCKS:=200000}"
export CASE_TIMEOUT=170
HOARDER=${top_builddir:-/nonexistent}/tests/system/hoarder
if [ ! -x "$HOARDER" ]; then
	HOARDER=$W/hoarder
	${CC:-cc} -std=c17 -D_GNU_SOURCE -pthread -O1 "$HERE/hoarder.c" -o "$HOARDER" || bail "hoarder.c does not compile"
fi
HOSTS=(h1 h2 h3)

held_by_all() { timeout 15 sed -n 's/^locks *\([0-9]*\) held,.*/\1/p' "$(mnt "$1")/cluster/status"; }
are_held() { [ "$(held_by_all h2)" = "$1" ]; }
reason() { timeout 15 sed -n 's/^error=//p' "$(mnt "$1")/.info/locks/$2"; }

# as_user UID: for op
as_user() { echo "as $1 $1 :"; }

# shellcheck disable=SC2046 # lists of words
others_are_served() {
	local host uid
	for host in "${HOSTS[@]}"; do
		for uid in 0 65533; do
			assert_op ok $(as_user $uid) open O_RDWR "$(mnt "$host")/locks/other" : flock ex : lockw w 0 1 : flock un
		done
		echo +1 >"$(mnt "$host")/counters/other"
	done
}

# shellcheck disable=SC2046 # lists of words
t_one_user_who_holds_all_he_may_leaves_others_theirs() {
	local start host hoard leader
	cluster 3 -o allow_other
	leader=$(wait_leader "${HOSTS[@]}")
	touch "$(mnt h1)"/locks/{hoard,mine,other}
	chmod 666 "$(mnt h1)"/locks/{hoard,mine,other}
	assert_op ok $(as_user 65534) open O_RDWR "$(mnt h3)/locks/mine" : flock ex
	start=$EPOCHREALTIME
	coproc HOARD { exec setpriv --reuid=65534 --regid=65534 --clear-groups "$HOARDER" "$(mnt "$leader")/locks/hoard" $((USER_LOCKS + 64)); }
	read -r -t 150 hoard <&"${HOARD[0]}" || fail "the locks are not taken: $(held_by_all h2)"
	took=$(((${EPOCHREALTIME/./} - ${start/./}) / 1000))
	assert_eq "$hoard" "$USER_LOCKS ENOLCK"
	assert_eq "$(held_by_all h1)" "$USER_LOCKS"
	for host in "${HOSTS[@]}"; do
		assert_errno ENOLCK $(as_user 65534) open O_RDWR "$(mnt "$host")/locks/mine" : flock 'ex|nb'
		assert_errno ENOLCK $(as_user 65534) open O_RDWR "$(mnt "$host")/locks/mine" : lockw r 0 1
		assert_eq "$(reason "$host" mine)" "uid 65534 holds $USER_LOCKS locks, and may hold no more"
		grep -q "refused (ENOLCK): uid 65534 holds $USER_LOCKS locks" "$LAB/$host/log" || fail "$host logs nothing of it"
	done
	start=$EPOCHREALTIME
	others_are_served
	echo "# $USER_LOCKS locks taken in $took ms; beside them 12 locks and 3 changes of others on 3 hosts in" \
		"$(((${EPOCHREALTIME/./} - ${start/./}) / 1000)) ms" >>"$W/figures"
	start=$EPOCHREALTIME
	kill -9 "$HOARD_PID"
	wait_until 60 are_held 0
	echo "# when he is killed they are given back in $(((${EPOCHREALTIME/./} - ${start/./}) / 1000)) ms" >>"$W/figures"
	assert_op ok $(as_user 65534) open O_RDWR "$(mnt h2)/locks/mine" : flock ex
	others_are_served
	settle "${HOSTS[@]}"
}

run_cases
