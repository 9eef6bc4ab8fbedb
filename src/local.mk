# The program is src/main.c with its tools; all other rooms, and the options, are the library, so that tests link them.

bin_PROGRAMS += src/coordfs
# allocate.c stands in for a function of libc: linked by name, since nothing of ours calls it.
src_coordfs_SOURCES = src/main.c src/await.c src/await.h \
	src/tool.c src/tool.h src/tool_keygen.c src/tool_recover.c src/tool_restore.c src/tool_run.c \
	src/run.h src/run_command.c src/run_guard.c src/run_holder.c src/run_lock.c src/run_terminal.c \
	src/replica/allocate.c
src_coordfs_LDADD = $(COORDFS_LIBS)

noinst_LIBRARIES += src/libcoordfs.a
src_libcoordfs_a_SOURCES = \
	src/base/error.c src/base/error.h \
	src/base/hash.h \
	src/base/limits.h \
	src/base/log.c src/base/log.h \
	src/front/access.c src/front/access.h \
	src/front/attributes.c \
	src/front/backup.c \
	src/front/call.c \
	src/front/cas.c \
	src/front/changes.c src/front/changes.h \
	src/front/control.c \
	src/front/counters.c \
	src/front/dispatch.c \
	src/front/dynamic.c src/front/dynamic.h \
	src/front/events.c \
	src/front/eventual.c src/front/eventual.h src/front/eventual_table.h \
	src/front/eventual_class.c \
	src/front/eventual_counters.c \
	src/front/eventual_files.c \
	src/front/eventual_info.c \
	src/front/eventual_names.c \
	src/front/eventual_roots.c \
	src/front/files.c \
	src/front/front.h \
	src/front/generated.c src/front/generated.h \
	src/front/handle.c src/front/handle.h \
	src/front/info.c src/front/info.h \
	src/front/info_plan.c \
	src/front/info_set.c \
	src/front/info_text.c src/front/info_text.h \
	src/front/info_value.c \
	src/front/lease.c \
	src/front/locks.c \
	src/front/loop.c src/front/loop.h \
	src/front/loss.c src/front/loss.h \
	src/front/machine_class.c src/front/machine_class.h \
	src/front/members.c \
	src/front/metrics_text.c \
	src/front/mount.c src/front/mount.h \
	src/front/mountpoint.c src/front/mountpoint.h \
	src/front/names.c \
	src/front/names_table.c \
	src/front/notes.c src/front/notes.h \
	src/front/owed.c src/front/owed.h \
	src/front/parse.c src/front/parse.h \
	src/front/poll.c src/front/poll.h \
	src/front/readme.c \
	src/front/reply.c \
	src/front/static.c src/front/static.h \
	src/front/status.c \
	src/front/status_text.c src/front/status_text.h \
	src/front/text.c src/front/text.h \
	src/front/timer.h \
	src/front/transaction_ctl.c \
	src/front/transaction_end.c \
	src/front/transaction_read.c \
	src/front/transaction_stage.c \
	src/front/transaction_text.c \
	src/front/transactions.c src/front/transactions.h \
	src/front/virtual.c src/front/virtual.h \
	src/front/votes.c src/front/votes.h \
	src/front/wait.c src/front/wait.h src/front/wait_handle.h \
	src/front/wait_names.c \
	src/front/wait_votes.c \
	src/front/wait_watch.c \
	src/front/waiters.c src/front/waiters.h \
	src/front/widen.c src/front/widen.h \
	src/front/xattr.c \
	src/gossip/batch.c \
	src/gossip/change.c \
	src/gossip/collect.c \
	src/gossip/compare.c \
	src/gossip/crdt.c src/gossip/crdt.h \
	src/gossip/gossip.c src/gossip/gossip.h \
	src/gossip/internal.h \
	src/gossip/journal.c \
	src/gossip/peer.h \
	src/gossip/read.c \
	src/gossip/state.c \
	src/gossip/sync.c \
	src/gossip/storage.c src/gossip/storage.h \
	src/gossip/tree.c src/gossip/tree.h \
	src/machine/attr.c \
	src/machine/check.c \
	src/machine/commit.c \
	src/machine/consistency.c \
	src/machine/counter.c \
	src/machine/directory.c \
	src/machine/file.c \
	src/machine/history.c src/machine/history.h \
	src/machine/inode.c \
	src/machine/internal.h \
	src/machine/level.c src/machine/level.h \
	src/machine/lock.c src/machine/lock.h \
	src/machine/lock_graph.c \
	src/machine/lock_info.c \
	src/machine/lock_load.c \
	src/machine/lock_queue.c \
	src/machine/lock_range.c \
	src/machine/lock_table.c \
	src/machine/lock_tree.c src/machine/lock_tree.h \
	src/machine/lock_user.c \
	src/machine/machine.c src/machine/machine.h \
	src/machine/member.c \
	src/machine/namespace.c \
	src/machine/overlay.c src/machine/overlay.h \
	src/machine/port.h \
	src/machine/record.c src/machine/record.h \
	src/machine/session.c \
	src/machine/transaction.c src/machine/transaction.h \
	src/machine/unpack.c \
	src/machine/view.c \
	src/machine/vote.c \
	src/options.c src/options.h \
	src/net/address.c \
	src/net/curve.c \
	src/net/internal.h \
	src/net/key.c \
	src/net/link.c \
	src/net/net.c src/net/net.h \
	src/net/peer.c \
	src/net/receive.c \
	src/net/refusal.c \
	src/net/socket.c \
	src/replica/acceptor.c \
	src/replica/apply.c \
	src/replica/backup.c \
	src/replica/child.c src/replica/child.h \
	src/replica/cluster.c \
	src/replica/directory.c src/replica/directory.h \
	src/replica/engine.c \
	src/replica/eventual.c \
	src/replica/fetch.c \
	src/replica/forward.c \
	src/replica/internal.h \
	src/replica/join.c src/replica/join.h \
	src/replica/logcheck.c src/replica/logcheck.h \
	src/replica/joining.c \
	src/replica/lead.c \
	src/replica/lease.c src/replica/lease.h \
	src/replica/offline.c src/replica/offline.h \
	src/replica/outbox.c \
	src/replica/plan.c src/replica/plan.h \
	src/replica/message.c src/replica/message.h \
	src/replica/peers.c \
	src/replica/proposals.c src/replica/proposals.h \
	src/replica/readindex.c src/replica/readindex.h \
	src/replica/recover.c src/replica/recover.h \
	src/replica/replica.c src/replica/replica.h \
	src/replica/restore.c src/replica/restore.h \
	src/replica/snapshot.c \
	src/store/image.c src/store/image.h \
	src/store/store_tdb.c src/store/store_tdb.h
nodist_src_libcoordfs_a_SOURCES = src/proto/coordfs.pb-c.c src/proto/coordfs.pb-c.h

coordfsincludedir = $(includedir)/coordfs
coordfsinclude_HEADERS = include/coordfs/coordfs.h

# ---- generated from the .proto -------------------------------------------------------------------------------------

EXTRA_DIST += src/proto/coordfs.proto
BUILT_SOURCES += src/proto/coordfs.pb-c.h
CLEANFILES += src/proto/coordfs.pb-c.c src/proto/coordfs.pb-c.h

src/proto/coordfs.pb-c.c: src/proto/coordfs.proto
	$(AM_V_GEN)$(MKDIR_P) src/proto && \
	$(PROTOC_C) --proto_path=$(top_srcdir)/src/proto --c_out=src/proto $(top_srcdir)/src/proto/coordfs.proto

src/proto/coordfs.pb-c.h: src/proto/coordfs.pb-c.c
	@test -f $@ && touch $@ || { rm -f src/proto/coordfs.pb-c.c; $(MAKE) $(AM_MAKEFLAGS) src/proto/coordfs.pb-c.c; }
