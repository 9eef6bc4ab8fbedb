# `make check`: tests/driver runs each test, with a time limit, and counts each case it reports.
#   tests/unit/test_*.c      cmocka; a program each
#   tests/engine/test_*.c    cmocka; what is relied on in libraft
#   tests/model/*.c          random commands against a naive reference
#   tests/sim/*.c            a cluster in one process, with virtual time and faults
#   tests/system/*.sh        real mounts; one at a time, for they measure and fill the machine
#   tests/tidy/*.sh          the source itself
# exit status: 0 passed, 77 skipped (and the output says why), else failed.

TEST_EXTENSIONS = .sh
TEST_DRIVER = $(BASH_SHELL) $(top_srcdir)/tests/driver
LOG_DRIVER = $(TEST_DRIVER)
SH_LOG_DRIVER = $(TEST_DRIVER)
SH_LOG_COMPILER = $(BASH_SHELL)

AM_TESTS_ENVIRONMENT = \
	top_srcdir='$(abs_top_srcdir)'; export top_srcdir; \
	top_builddir='$(abs_top_builddir)'; export top_builddir; \
	COORDFS='$(abs_top_builddir)/src/coordfs$(EXEEXT)'; export COORDFS; \
	COORDFS_VERSION='$(PACKAGE_VERSION)'; export COORDFS_VERSION; \
	CC='$(CC)'; export CC;

EXTRA_DIST += tests/driver tests/asan.supp tests/leaks.supp tests/tsan.supp
CLEANFILES += tests/system.lock.*

# ---- unit ----------------------------------------------------------------------------------------------------------

# What a program links that does not say otherwise: to add a test, name it in UNIT_TESTS.
LDADD = $(COORDFS_LIBS) $(CMOCKA_LIBS)

UNIT_TESTS = \
	tests/unit/test_allocate \
	tests/unit/test_checker \
	tests/unit/test_checker_random \
	tests/unit/test_backup \
	tests/unit/test_changes \
	tests/unit/test_eventual \
	tests/unit/test_gossip \
	tests/unit/test_gossip_collect \
	tests/unit/test_gossip_crdt \
	tests/unit/test_gossip_storage \
	tests/unit/test_gossip_sync \
	tests/unit/test_info \
	tests/unit/test_lease \
	tests/unit/test_join \
	tests/unit/test_libraries \
	tests/unit/test_lock \
	tests/unit/test_machine \
	tests/unit/test_level \
	tests/unit/test_member \
	tests/unit/test_net \
	tests/unit/test_net_key \
	tests/unit/test_net_refusals \
	tests/unit/test_plan \
	tests/unit/test_proposals \
	tests/unit/test_readindex \
	tests/unit/test_options \
	tests/unit/test_replica \
	tests/unit/test_replica_cluster \
	tests/unit/test_replica_damage \
	tests/unit/test_replica_directory \
	tests/unit/test_replica_full \
	tests/unit/test_replica_killed \
	tests/unit/test_replica_recover \
	tests/unit/test_replica_restore \
	tests/unit/test_status \
	tests/unit/test_store \
	tests/unit/test_parse \
	tests/unit/test_text \
	tests/unit/test_transaction_end \
	tests/unit/test_vote \
	tests/unit/test_waiters

tests_unit_test_allocate_SOURCES = tests/unit/test_allocate.c src/replica/allocate.c
tests_unit_test_checker_SOURCES = tests/unit/test_checker.c $(HISTORY_CHECKER)
tests_unit_test_checker_random_SOURCES = tests/unit/test_checker_random.c $(HISTORY_CHECKER)
tests_unit_test_changes_SOURCES = tests/unit/test_changes.c $(MACHINE_FIXTURE)
tests_unit_test_gossip_collect_SOURCES = tests/unit/test_gossip_collect.c $(GOSSIP_FIXTURE)
tests_unit_test_gossip_sync_SOURCES = tests/unit/test_gossip_sync.c $(GOSSIP_FIXTURE)
GOSSIP_FIXTURE = tests/unit/gossip_fixture.c tests/unit/gossip_fixture.h
tests_unit_test_lock_SOURCES = tests/unit/test_lock.c $(LOCK_FIXTURE)
tests_unit_test_machine_SOURCES = tests/unit/test_machine.c $(MACHINE_FIXTURE)
tests_unit_test_join_SOURCES = tests/unit/test_join.c $(MACHINE_FIXTURE)
tests_unit_test_level_SOURCES = tests/unit/test_level.c $(MACHINE_FIXTURE)
tests_unit_test_vote_SOURCES = tests/unit/test_vote.c $(MACHINE_FIXTURE)
tests_unit_test_member_SOURCES = tests/unit/test_member.c $(MACHINE_FIXTURE)
tests_unit_test_net_SOURCES = tests/unit/test_net.c $(NET_FIXTURE)
tests_unit_test_net_refusals_SOURCES = tests/unit/test_net_refusals.c $(NET_FIXTURE)
NET_FIXTURE = tests/unit/net_fixture.c tests/unit/net_fixture.h
tests_unit_test_waiters_SOURCES = tests/unit/test_waiters.c tests/unit/replica_stub.c $(MACHINE_FIXTURE)
tests_unit_test_transaction_end_SOURCES = tests/unit/test_transaction_end.c tests/unit/replica_stub.c $(MACHINE_FIXTURE)
MACHINE_FIXTURE = tests/unit/machine_fixture.c tests/unit/machine_fixture.h
REPLICA_FIXTURE = tests/unit/replica_fixture.c tests/unit/replica_fixture.h
tests_unit_test_backup_SOURCES = tests/unit/test_backup.c $(REPLICA_FIXTURE)
tests_unit_test_replica_SOURCES = tests/unit/test_replica.c $(REPLICA_FIXTURE)
tests_unit_test_replica_damage_SOURCES = tests/unit/test_replica_damage.c $(REPLICA_FIXTURE)
tests_unit_test_replica_directory_SOURCES = tests/unit/test_replica_directory.c $(REPLICA_FIXTURE)
tests_unit_test_replica_full_SOURCES = tests/unit/test_replica_full.c $(REPLICA_FIXTURE)
tests_unit_test_replica_killed_SOURCES = tests/unit/test_replica_killed.c $(REPLICA_FIXTURE)
tests_unit_test_replica_recover_SOURCES = tests/unit/test_replica_recover.c $(REPLICA_FIXTURE)
tests_unit_test_replica_restore_SOURCES = tests/unit/test_replica_restore.c $(REPLICA_FIXTURE)
LOCK_FIXTURE = tests/unit/lock_fixture.c tests/unit/lock_fixture.h $(MACHINE_FIXTURE)

check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)

# ---- engine: the libraft that is linked ----------------------------------------------------------------------------

ENGINE_TESTS = \
	tests/engine/test_raft

check_PROGRAMS += $(ENGINE_TESTS)
TESTS += $(ENGINE_TESTS)

# ---- history: what clients saw, and whether it can be ---------------------------------------------------------------
#
# tests/history/history.h says how a history is written; load writes one, check says what is wrong with it. Seeds of the
# checker's test: HISTORY_SEEDS=n for more of them.

HISTORY_CHECKER = \
	tests/history/checker.c tests/history/checker.h \
	tests/history/history.c tests/history/history.h \
	tests/history/model.c tests/history/model.h \
	tests/history/search.c tests/history/search.h \
	tests/history/tokens.c tests/history/tokens.h

check_PROGRAMS += tests/history/check tests/history/load
tests_history_check_SOURCES = tests/history/check.c $(HISTORY_CHECKER)
tests_history_check_LDADD =
tests_history_load_SOURCES = \
	tests/history/acts.c tests/history/acts.h \
	tests/history/client.c tests/history/client.h \
	tests/history/load.c
tests_history_load_LDADD =

# ---- model ---------------------------------------------------------------------------------------------------------
#
# MODEL_SEEDS=n for more of them.

MODEL_TESTS = \
	tests/model/lock_model \
	tests/model/machine_model

tests_model_lock_model_SOURCES = tests/model/lock_model.c $(LOCK_FIXTURE)
tests_model_machine_model_SOURCES = tests/model/machine_model.c $(MODEL_REFERENCE)
MODEL_MEMORY = tests/model/memory.c tests/model/memory.h
MODEL_REFERENCE = $(MODEL_MEMORY) \
	tests/model/compare.c tests/model/compare.h \
	tests/model/generate.c tests/model/generate.h \
	tests/model/members.c tests/model/members.h \
	tests/model/reference.c tests/model/reference.h \
	tests/model/transactions.c tests/model/transactions.h

check_PROGRAMS += $(MODEL_TESTS)
TESTS += $(MODEL_TESTS)

# ---- simulation ----------------------------------------------------------------------------------------------------
#
# SIM_SEEDS=n for more of them, SIM_SEED=x to see one.

SIM_TESTS = \
	tests/sim/sim

tests_sim_sim_SOURCES = \
	tests/sim/sim.c tests/sim/sim.h \
	tests/sim/client.c \
	tests/sim/disk.c \
	tests/sim/faults.c \
	tests/sim/member.c \
	tests/sim/story.c \
	tests/sim/world.c \
	$(MODEL_MEMORY)

check_PROGRAMS += $(SIM_TESTS)
TESTS += $(SIM_TESTS)

# ---- system --------------------------------------------------------------------------------------------------------

SYSTEM_TESTS = \
	tests/system/version.sh \
	tests/system/mounts.sh \
	tests/system/counters.sh \
	tests/system/files.sh \
	tests/system/locks.sh \
	tests/system/lockfiles.sh \
	tests/system/fences.sh \
	tests/system/votes.sh \
	tests/system/postgres.sh \
	tests/system/eventual.sh \
	tests/system/transactions.sh \
	tests/system/cas.sh \
	tests/system/info.sh \
	tests/system/wait.sh \
	tests/system/status.sh \
	tests/system/badinput.sh \
	tests/system/idioms.sh \
	tests/system/diskfull.sh \
	tests/system/corrupt.sh \
	tests/system/crash.sh \
	tests/system/keygen.sh \
	tests/system/recover.sh \
	tests/system/restore.sh \
	tests/system/start.sh \
	tests/system/quickstart.sh \
	tests/system/run.sh

# Several members, in network namespaces of their own (contrib/lab).
CLUSTER_TESTS = \
	tests/system/session.sh \
	tests/system/loss.sh \
	tests/system/run_loss.sh \
	tests/system/exclusion.sh \
	tests/system/storm.sh \
	tests/system/locks3.sh \
	tests/system/apps3.sh \
	tests/system/crowd.sh \
	tests/system/hoard.sh \
	tests/system/lab.sh \
	tests/system/history.sh \
	tests/system/join.sh \
	tests/system/roles.sh \
	tests/system/partition.sh \
	tests/system/weak.sh \
	tests/system/wait_cluster.sh \
	tests/system/eventual_cluster.sh \
	tests/system/votes_cluster.sh \
	tests/system/examples.sh \
	tests/system/serializable.sh \
	tests/system/upgrade.sh \
	tests/system/rolling.sh \
	tests/system/hostile.sh \
	tests/system/fifty.sh \
	tests/system/failover.sh

TESTS += $(SYSTEM_TESTS) $(CLUSTER_TESTS)
EXTRA_DIST += $(SYSTEM_TESTS) $(CLUSTER_TESTS) tests/system/lib.sh tests/system/cluster.sh \
	tests/system/lock_cases.sh tests/system/race_cases.sh tests/system/hears.py tests/system/terminal.py \
	tests/system/hostile.py tests/system/slept.c tests/system/voter.py tests/system/appender.py tests/system/serializable.py tests/system/wait.py

# op: system calls for the shell; hammer: writers for crash.sh; adder, crowd, hoarder, excluder, stormer: clients of a cluster
check_PROGRAMS += tests/system/op tests/system/hammer tests/system/adder tests/system/crowd tests/system/hoarder \
	tests/system/excluder tests/system/stormer
tests_system_adder_LDADD =
tests_system_crowd_CFLAGS = $(AM_CFLAGS) -pthread
tests_system_crowd_LDADD =
tests_system_hoarder_CFLAGS = $(AM_CFLAGS) -pthread
tests_system_hoarder_LDADD =
tests_system_excluder_LDADD =
tests_system_stormer_LDADD =
tests_system_op_LDADD =
tests_system_hammer_LDADD =

# ---- tidy ----------------------------------------------------------------------------------------------------------

TIDY_TESTS = \
	tests/tidy/functions.sh \
	tests/tidy/includes.sh \
	tests/tidy/listed.sh \
	tests/tidy/manual.sh \
	tests/tidy/shell.sh

TESTS += $(TIDY_TESTS)
EXTRA_DIST += $(TIDY_TESTS) tests/tidy/functions.limit

# ---- fuzz ----------------------------------------------------------------------------------------------------------
#
# A fuzzer is tests/fuzz/fuzz_NAME.c with LLVMFuzzerTestOneInput() and seeds in tests/fuzz/corpus/NAME/. With
# --enable-fuzz it becomes a libFuzzer program, which contrib/run-tests runs; without, a test that replays the seeds.
# To add one: name it in FUZZERS, then
#     tests_fuzz_fuzz_NAME_SOURCES = tests/fuzz/fuzz_NAME.c $(FUZZ_MAIN)
#     tests_fuzz_fuzz_NAME_LDFLAGS = $(FUZZ_LINK)

FUZZERS = \
	tests/fuzz/fuzz_command \
	tests/fuzz/fuzz_envelope \
	tests/fuzz/fuzz_image \
	tests/fuzz/fuzz_message \
	tests/fuzz/fuzz_peer \
	tests/fuzz/fuzz_parse \
	tests/fuzz/fuzz_text

tests_fuzz_fuzz_command_SOURCES = tests/fuzz/fuzz_command.c $(FUZZ_MAIN)
tests_fuzz_fuzz_command_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_envelope_SOURCES = tests/fuzz/fuzz_envelope.c $(FUZZ_MAIN)
tests_fuzz_fuzz_envelope_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_image_SOURCES = tests/fuzz/fuzz_image.c $(FUZZ_MAIN)
tests_fuzz_fuzz_image_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_message_SOURCES = tests/fuzz/fuzz_message.c $(FUZZ_MAIN)
tests_fuzz_fuzz_message_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_peer_SOURCES = tests/fuzz/fuzz_peer.c $(FUZZ_MAIN)
tests_fuzz_fuzz_peer_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_parse_SOURCES = tests/fuzz/fuzz_parse.c $(FUZZ_MAIN)
tests_fuzz_fuzz_parse_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_text_SOURCES = tests/fuzz/fuzz_text.c $(FUZZ_MAIN)
tests_fuzz_fuzz_text_LDFLAGS = $(FUZZ_LINK)

EXTRA_DIST += tests/fuzz/replay.c tests/fuzz/corpus
check_PROGRAMS += $(FUZZERS)
if FUZZ
FUZZ_MAIN =
FUZZ_LINK = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
else
FUZZ_MAIN = tests/fuzz/replay.c
FUZZ_LINK = $(AM_LDFLAGS)
TESTS += $(FUZZERS)
endif

.PHONY: fuzzers
fuzzers: $(BUILT_SOURCES)
	$(MAKE) $(AM_MAKEFLAGS) $(FUZZERS)

# ---- bench ---------------------------------------------------------------------------------------------------------
#
# `make bench` measures; `make check` only compiles it. BENCH_FLAGS='--million' and more: see tests/bench/run.

BENCHMARKS = \
	tests/bench/bench \
	tests/bench/nullfs

check_PROGRAMS += $(BENCHMARKS)
EXTRA_DIST += tests/bench/eventual tests/bench/run tests/bench/soak

tests_bench_bench_SOURCES = \
	tests/bench/bench.c \
	tests/bench/load.c tests/bench/load.h \
	tests/bench/measure.c tests/bench/measure.h \
	tests/bench/op_counter.c \
	tests/bench/op_file.c \
	tests/bench/op_lock.c \
	tests/bench/op_network.c \
	tests/bench/operations.h \
	tests/bench/report.c tests/bench/report.h \
	tests/bench/scale.c tests/bench/scale.h
tests_bench_bench_CFLAGS = $(AM_CFLAGS) -pthread
tests_bench_bench_LDADD = $(ZMQ_LIBS)
tests_bench_nullfs_SOURCES = tests/bench/nullfs.c
tests_bench_nullfs_LDADD = $(FUSE_LIBS)

.PHONY: bench
bench: $(BUILT_SOURCES)
	$(MAKE) $(AM_MAKEFLAGS) src/coordfs$(EXEEXT) $(BENCHMARKS)
	top_builddir='$(abs_top_builddir)' $(BASH_SHELL) $(top_srcdir)/tests/bench/run $(BENCH_FLAGS)
