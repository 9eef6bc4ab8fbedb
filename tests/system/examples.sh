#!/bin/bash
# contrib/examples, shell and Python at once, on three hosts: totals stay, sets are whole, each job is taken once.
# shellcheck source=tests/system/cluster.sh
. "$(dirname "$0")/cluster.sh"
export CASE_TIMEOUT=200
HOSTS='h1 h2 h3'
X=$HERE/../../contrib/examples
export PYTHONDONTWRITEBYTECODE=1

assert_status() { # WANT COMMAND...
	local want=$1 status=0
	shift
	"$@" || status=$?
	assert_eq "$status" "$want"
}

total() { # HOST: in one view
	T=$(mktemp -d "$(mnt "$1")/transactions/XXXXXX")
	cat "$T"/counters/bank/* | awk '{ sum += $1; low += $1 < 0 } END { print sum, low + 0 }'
	rmdir "$T"
}

t_the_total_of_the_bank() {
	local i host pids=() kinds=(sh py)
	cluster 3
	mkdir "$(mnt h1)/counters/bank"
	for i in a b c d; do echo 100 >"$(mnt h1)/counters/bank/$i"; done
	for host in $HOSTS; do
		for kind in "${kinds[@]}"; do
			(
				accounts=(a b c d)
				RANDOM=$((${host#h} * 10 + ${#pids[@]}))
				for ((i = 0; i < 8; i++)); do
					"$X/transfer.$kind" "$(mnt "$host")" "${accounts[RANDOM % 4]}" "${accounts[RANDOM % 4]}" $((RANDOM % 90)) 2>>"$W/poor" || [ $? = 1 ] || echo "$host $kind failed" >>"$W/failed"
				done
			) &
			pids+=($!)
		done
	done
	for ((i = 0; i < 15; i++)); do
		assert_eq "$(total "h$((i % 3 + 1))")" '400 0'
	done
	wait "${pids[@]}"
	[ ! -e "$W/failed" ] || fail "$(cat "$W/failed"); $(tail -n 3 "$W/poor")"
	for host in $HOSTS; do assert_eq "$(total "$host")" '400 0'; done
}

t_not_enough() {
	local kind
	for kind in sh py; do
		assert_status 1 "$X/transfer.$kind" "$(mnt h1)" a b 1000000 2>/dev/null
	done
	assert_eq "$(total h2)" '400 0'
	assert_eq "$(find "$(mnt h1)/transactions" -mindepth 1 | wc -l)" 0
}

# set_of NUMBER: ten files that say the number
set_of() {
	local file
	mkdir -p "$W/set$1"
	for file in {0..9}; do echo "version $1" >"$W/set$1/file$file"; done
}

publish_many() { # HOST KIND FIRST
	local i
	for ((i = $3; i < $3 + 5; i++)); do
		set_of "$i"
		"$X/publish.$2" "$(mnt "$1")" "$W/set$i" app || echo "$1 $2" >>"$W/failed"
	done
}

t_ten_files_at_once() {
	local i kind pids=()
	set_of 0
	"$X/publish.sh" "$(mnt h1)" "$W/set0" app
	publish_many h1 sh 10 &
	pids+=($!)
	publish_many h2 py 20 &
	pids+=($!)
	for ((i = 0; i < 12; i++)); do
		kind=$([ $((i % 2)) = 0 ] && echo sh || echo py)
		"$X/publish.$kind" "$(mnt h3)" --read app "$W/got$i"
		assert_eq "$(sort -u "$W/got$i"/* | wc -l)" 1
		assert_eq "$(find "$W/got$i" -type f | wc -l)" 10
	done
	wait "${pids[@]}"
	[ ! -e "$W/failed" ] || fail "$(cat "$W/failed")"
}

t_each_job_is_taken_once() {
	local i host kind pids=()
	for ((i = 0; i < 20; i++)); do
		kind=$([ $((i % 2)) = 0 ] && echo sh || echo py)
		echo "content $i" | "$X/jobs.$kind" "$(mnt h$((i % 3 + 1)))" put "$(printf 'job%02d' $i)" || fail "put $i"
	done
	assert_status 1 "$X/jobs.sh" "$(mnt h1)" put job00 </dev/null 2>/dev/null
	assert_status 1 "$X/jobs.py" "$(mnt h1)" put job00 </dev/null
	for host in $HOSTS; do
		for kind in sh py; do
			while "$X/jobs.$kind" "$(mnt "$host")" take; do :; done >"$W/taken-$host-$kind" 2>"$W/err-$host-$kind" &
			pids+=($!)
		done
	done
	wait "${pids[@]}"
	assert_eq "$(cat "$W"/err-*)" ''
	assert_eq "$(cat "$W"/taken-* | grep -c '^job')" 20
	assert_eq "$(cat "$W"/taken-* | sort -u | wc -l)" 40
	for ((i = 0; i < 20; i++)); do
		assert_eq "$(cat "$W"/taken-* | grep -A 1 "^$(printf 'job%02d' $i)\$" | tail -n 1)" "content $i"
	done
}

t_they_settle() { settle $HOSTS; }

run_cases
