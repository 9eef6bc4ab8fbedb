#!/bin/bash
# Rooms include only what doc/DESIGN's arrows allow:
#
#     base, proto <- machine <- { store, replica } <- front <- main;   net is a stranger to front
#     base, proto <- gossip <- { replica, front }
#
# The headers of a library stay in the rooms that the library is for, and the machine, which must be a pure function of
# its log, calls nothing that could make it differ from one member to the next: that is read from its object files.
set -eu
cd "${top_srcdir:?}/src"

# room: the rooms it may include beside itself
allowed_rooms() {
	case $1 in
	base | proto) echo "" ;;
	machine) echo "base proto" ;;
	store) echo "base proto machine" ;;
	replica) echo "base proto machine store net gossip" ;;
	net) echo "base proto" ;;
	gossip) echo "base proto" ;;
	front) echo "base proto machine store replica gossip" ;;
	main) echo "base proto machine store replica net gossip front" ;;
	*) return 1 ;;
	esac
}

# pattern of <header>: the rooms that may include it
library_rooms() {
	case $1 in
	fuse*.h) echo "front main" ;;
	tdb.h) echo "store" ;;
	raft.h | raft/*.h) echo "replica main" ;;
	uv.h) echo "replica net gossip front main" ;;
	zmq.h) echo "net main" ;;
	pthread.h | time.h | sys/time.h | sys/random.h | unistd.h | sys/socket.h) echo "base store replica net gossip front main" ;;
	*) echo any ;;
	esac
}

room_of() {
	case $1 in
	*/*) echo "${1%%/*}" ;;
	*) echo main ;;
	esac
}

# Each quoted include is room/file.h from src, a file beside the includer, config.h, or a public header.
check_quoted() {
	local file=$1 room=$2 header=$3
	case $header in
	config.h | coordfs/*) return 0 ;;
	../* | ./* | /*) echo "$file: \"$header\": write room/file.h"; return 1 ;;
	*/*) ;;
	*) [ -e "$(dirname "$file")/$header" ] || { echo "$file: \"$header\" is not beside it"; return 1; } ;;
	esac
	[[ $header == */* && ${header%%/*} != "$room" ]] || return 0
	[[ " $(allowed_rooms "$room") " == *" ${header%%/*} "* ]] || { echo "$file: $room may not include \"$header\""; return 1; }
}

check_library() {
	local file=$1 room=$2 header=$3 rooms
	rooms=$(library_rooms "$header")
	[[ $rooms == any || " $rooms " == *" $room "* ]] || { echo "$file: $room may not include <$header>"; return 1; }
}

check_file() {
	local file=$1 room header bad=0
	room=$(room_of "$file")
	allowed_rooms "$room" >/dev/null || { echo "$file: there is no room called $room"; return 1; }
	while read -r header; do
		case $header in
		'"'*) header=${header#\"}; check_quoted "$file" "$room" "${header%\"}" || bad=1 ;;
		'<'*) header=${header#<}; check_library "$file" "$room" "${header%>}" || bad=1 ;;
		esac
	done < <(sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*\(["<][^">]*[">]\).*/\1/p' "$file")
	return $bad
}

check_includes() {
	local file bad=0
	while read -r file; do
		check_file "$file" || bad=1
	done < <(find . -name '*.[ch]' ! -name '*.pb-c.[ch]' -printf '%P\n' | sort)
	return $bad
}

# The machine's objects ask the linker for no clock, no input or output, no chance, no thread, no environment.
check_purity() {
	local found
	found=$(find "${top_builddir:?}/src/machine" -name '*.o' -exec nm -u {} + 2>/dev/null | awk '{ print $2 }' | sort -u |
		grep -xE 'time|clock|clock_gettime|gettimeofday|localtime(_r)?|rand(om)?(_r)?|s?rand(om)?|getrandom|getpid|gettid|getuid|getenv|uv_.*|raft_.*|fuse_.*|tdb_.*|zmq_.*|pthread_.*|open(64|at)?|close|p?read(64)?|p?write(64)?|f?sync|fopen(64)?|printf|fprintf|puts|socket|send|recv|sleep|usleep|nanosleep' || true)
	[ -z "$found" ] || { echo "machine/ calls" $found; return 1; }
}

if check_includes; then echo "ok 1 - includes follow the arrows"; else echo "not ok 1 - includes follow the arrows"; fi
if check_purity; then echo "ok 2 - the machine is pure"; else echo "not ok 2 - the machine is pure"; fi
echo 1..2
