#!/bin/bash
# How a cluster comes about: founding, joining, restarts, addresses, keys; and what is refused, with words.
# shellcheck disable=SC2046,SC2154,SC2034 # lists of hosts are words; variables of cluster.sh and lib.sh
# shellcheck source=tests/system/cluster.sh
. "$(dirname "$0")/cluster.sh"
export CASE_TIMEOUT=120

# all_see VALUE COUNTER HOST...
all_see() {
	local value=$1 counter=$2 host
	shift 2
	for host; do
		assert_eq "$(timeout 20 cat "$(mnt "$host")/counters/$counter")" "$value" "$counter at $host"
	done
}

# add_at COUNTER HOST...: 1 at each
add_at() {
	local counter=$1 host
	shift
	for host; do
		echo +1 >"$(mnt "$host")/counters/$counter"
	done
}


# refused_with PATTERN COMMAND...: it fails, says this, and does not take long
refused_with() {
	local pattern=$1 said start=$SECONDS
	shift
	if said=$("$@" 2>&1); then fail "went well: $*"; fi
	[ $((SECONDS - start)) -lt 30 ] || fail "that took $((SECONDS - start)) s"
	[ "$(wc -l <<<"$said")" -le 5 ] || fail "many words: $said"
	grep -qE "$pattern" <<<"$said" || fail "'$said' is not about '$pattern'"
}

t_two_join_the_first_at_the_same_moment() {
	cluster 3
	assert_eq "$(ls "$(mnt h2)/cluster/members" | tr '\n' ' ')" "h1 h2 h3 "
	assert_content "$(mnt h3)/cluster/self" 'h3\n'
	assert_content "$(mnt h1)/cluster/members/h2/address" 'tcp://10.77.0.2:7400\n'
	add_at a h1 h2 h3 h3 h1
	all_see 5 a h1 h2 h3
	wait_until 30 has_voters h1 3
	settle h1 h2 h3
}

t_a_lock_is_held_across_hosts() {
	(
		exec 9>"$(mnt h2)/locks/x"
		flock 9
		touch "$W/held"
		exec sleep 1000
	) &
	wait_until 10 test -e "$W/held"
	assert_fails flock -n "$(mnt h3)/locks/x" true
	kill $!
	flock -w 10 "$(mnt h3)/locks/x" true
}

t_a_restart_needs_no_join() {
	lab restart h2
	all_see 5 a h2
	add_at a h2
	all_see 6 a h1 h3
	lab kill h3
	lab start h3
	all_see 6 a h3
	settle h1 h2 h3
}

t_all_stop_and_start_in_any_order() {
	lab stop h2
	lab stop h1
	lab stop h3
	lab start h3 --no-wait
	lab start h1
	wait_until 30 is_mounted_at h3
	all_see 6 a h1 h3
	lab start h2
	all_see 6 a h2
	settle h1 h2 h3
}

t_all_crash_and_start_at_the_same_moment() {
	add_at a h1
	lab kill all
	lab start all
	all_see 7 a h1 h2 h3
	settle h1 h2 h3
}

t_an_address_may_change_at_a_restart() {
	lab stop h2
	lab start h2 -o listen=tcp://10.77.0.2:7555
	all_see 7 a h2
	wait_until 20 grep -qx 'tcp://10.77.0.2:7555' "$(mnt h1)/cluster/members/h2/address"
	add_at a h2
	all_see 8 a h1 h3
	lab stop h1
	lab start h1 -o listen=tcp://10.77.0.1:7666
	all_see 8 a h1 h2 h3
	wait_until 20 grep -qx 'tcp://10.77.0.1:7666' "$(mnt h3)/cluster/members/h1/address"
	settle h1 h2 h3
}

t_joining_before_the_first_exists_waits() {
	cluster 3 --no-start
	lab start h2 --no-wait --join "h1 h3"
	lab start h3 --no-wait --join "h1 h2"
	wait_until 10 is_running h2
	wait_until 10 is_running h3
	lab start h1 --no-join
	wait_until 30 is_mounted_at h2
	wait_until 30 is_mounted_at h3
	add_at a h3 h2 h1
	all_see 3 a h1 h2 h3
	assert_eq "$(members h1)" 3
}

t_a_second_of_the_same_name_is_refused() {
	cluster 3 --no-start
	lab start h1
	lab start h2
	refused_with "h2" lab start h3 -o name=h2
	assert_eq "$(ls "$(mnt h1)/cluster/members" | tr '\n' ' ')" "h1 h2 "
	add_at a h1 h2
	all_see 2 a h1 h2
	lab wipe h3
	lab start h3
	all_see 2 a h3
	settle h1 h2 h3
}

t_a_wiped_member_is_not_taken_for_the_old_one() {
	lab wipe h3
	refused_with "h3" lab start h3
	rmdir "$(mnt h1)/cluster/members/h3"
	lab wipe h3
	lab start h3
	add_at a h3
	all_see 3 a h1 h2 h3
	settle h1 h2 h3
}

t_data_of_another_cluster_is_refused() {
	cluster 3 --no-start
	lab start h1
	lab start h2
	lab start h3 --no-join
	echo mine >"$(mnt h3)/files/f"
	lab stop h3
	refused_with "cluster" lab start h3 --join "h1 h2"
	assert_eq "$(members h1)" 2
	lab start h3 --no-join
	assert_content "$(mnt h3)/files/f" 'mine\n'
	[ ! -e "$(mnt h1)/files/f" ] || fail "it got into the other cluster"
}

t_a_cluster_of_ipv6() {
	cluster 3 --ipv6
	add_at a h1 h2 h3
	all_see 3 a h1 h2 h3
	assert_content "$(mnt h1)/cluster/members/h3/address" 'tcp://[fd77::3]:7400\n'
	lab restart h3
	add_at a h3
	all_see 4 a h1 h2 h3
}

# local NAME PORT OPTIONS: a member on this host's own loopback, in the background; its mount is that of lab's host
local_member() {
	mkdir -p "$W/local/$1/mnt"
	timeout 60 "$COORDFS" "$W/local/$1/data" "$W/local/$1/mnt" -o "name=$1,$2" </dev/null
}
end_local() { for m in "$W"/local/*/mnt; do ! is_mounted "$m" || umount "$m"; done; }

# In a namespace of its own, for other tests of this machine may use these ports.
in_lab_host() { lab exec h1 env W="$W" COORDFS="$COORDFS" bash -c "$(declare -f local_member); $1"; }

t_names_and_loopback_without_a_key() {
	cluster 1 --no-start
	in_lab_host 'local_member a listen=tcp://localhost:7401' || fail "no founder"
	in_lab_host 'local_member b listen=tcp://127.0.0.1:7402,join=tcp://localhost:7401' || fail "b does not join"
	in_lab_host 'local_member c listen=tcp://[::1]:7403,join=tcp://localhost:7409+tcp://127.0.0.1:7402' || fail "nor c"
	echo 7 >"$W/local/a/mnt/counters/n"
	assert_content "$W/local/b/mnt/counters/n" '7\n'
	assert_content "$W/local/c/mnt/counters/n" '7\n'
	end_local
}

t_one_member_is_widened() {
	cluster 3 --no-start
	DATA=$LAB/h1/data
	start_mount -o name=h1
	echo 41 >"$MNT/counters/a"
	stop_mount
	lab start h1
	lab start h2
	lab start h3
	add_at a h3
	all_see 42 a h1 h2 h3
	settle h1 h2 h3
}

t_a_cluster_with_a_key() {
	cluster 3 --key
	add_at a h1 h2 h3
	all_see 3 a h1 h2 h3
	assert_eq "$(stat -c %a "$LAB/key")" 600
	lab restart h2
	add_at a h2
	all_see 4 a h1 h2 h3
	settle h1 h2 h3
}

tells_trouble() { timeout 15 grep -qiE "$2" "$(mnt "$1")/cluster/status"; }

# Nothing gets in, and somebody says why.
t_without_the_right_key_nobody_joins() {
	lab stop h3
	rmdir "$(mnt h1)/cluster/members/h3"
	lab wipe h3
	"$COORDFS" keygen "$W/other-key"
	lab start h3 --no-wait -o "key=$W/other-key"
	wait_until 30 tells_trouble h1 key
	! is_mounted_at h3 || fail "it serves with another key"
	lab stop h3 || lab kill h3
	lab wipe h3
	add_at a h1 h2
	all_see 6 a h1 h2
	assert_eq "$(members h1)" 2
	lab start h3
	all_see 6 a h3
}

t_key_files_and_addresses_are_checked() {
	cluster 1 --no-start
	"$COORDFS" keygen "$W/key"
	assert_eq "$(stat -c %a "$W/key")" 600
	cp "$W/key" "$W/key.copy"
	assert_fails "$COORDFS" keygen "$W/key"
	cmp "$W/key" "$W/key.copy"
	mkdir -p "$W/none"
	chmod 640 "$W/key"
	refused_with "$W/key" in_lab_host "local_member x listen=tcp://10.77.0.1:7400,key=$W/key"
	chmod 602 "$W/key"
	refused_with "$W/key" in_lab_host "local_member x listen=tcp://10.77.0.1:7400,key=$W/key"
	chmod 600 "$W/key"
	echo nonsense >"$W/bad"
	chmod 600 "$W/bad"
	refused_with "$W/bad" in_lab_host "local_member x listen=tcp://10.77.0.1:7400,key=$W/bad"
	refused_with "$W/none/key" in_lab_host "local_member x listen=tcp://10.77.0.1:7400,key=$W/none/key"
	refused_with "key" in_lab_host "local_member x listen=tcp://10.77.0.1:7400"
	refused_with "listen" in_lab_host "local_member x listen=10.77.0.1:7400,insecure"
	refused_with "listen" in_lab_host "local_member x listen=tcp://10.77.0.1,insecure"
	refused_with "join" in_lab_host "local_member x listen=tcp://10.77.0.1:7400,insecure,join=nobody"
	refused_with "10.77.0.9" in_lab_host "local_member x listen=tcp://10.77.0.9:7400,insecure"
	refused_with "listen" in_lab_host "local_member x insecure,join=tcp://10.77.0.1:7400"
	[ ! -e "$W/local/x/data" ] || fail "left: $(find "$W/local/x/data")"
	in_lab_host "local_member x listen=tcp://10.77.0.1:7400,key=$W/key" || fail "with the key it is refused"
	end_local
	in_lab_host "local_member y listen=tcp://10.77.0.1:7401,insecure" || fail "insecure is refused"
	umount "$W/local/y/mnt"
}

run_cases
