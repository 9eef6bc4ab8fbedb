#include "lock_fixture.h"

#include <stdio.h>
#include <string.h>

struct reply lock_ask(struct fixture *f, const struct asked *what)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__LockRequest q = COORDFS__LOCK_REQUEST__INIT;
	command.of_case = COORDFS__COMMAND__OF_LOCK;
	command.lock = &q;
	q.inode = what->inode;
	q.kind = what->kind;
	q.mode = what->mode;
	q.start = what->start;
	q.end = what->end;
	q.wait = what->wait;
	q.owner = what->owner;
	q.handle = what->handle ? what->handle : what->owner;
	q.pid = (uint32_t)what->owner;
	q.uid = what->uid;
	q.process = (ProtobufCBinaryData){4, (uint8_t *)"test"};
	return fixture_apply(f, &command);
}

struct reply lock_withdraw(struct fixture *f, uint64_t waiter_sequence)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__LockCancel q = COORDFS__LOCK_CANCEL__INIT;
	command.of_case = COORDFS__COMMAND__OF_LOCK_CANCEL;
	command.lock_cancel = &q;
	q.waiter_sequence = waiter_sequence;
	return fixture_apply(f, &command);
}

struct reply lock_release(struct fixture *f, uint64_t inode, uint64_t owner, uint64_t handle)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__LockDrop q = COORDFS__LOCK_DROP__INIT;
	command.of_case = COORDFS__COMMAND__OF_LOCK_DROP;
	command.lock_drop = &q;
	q.inode = inode;
	q.owner = owner;
	q.handle = handle;
	return fixture_apply(f, &command);
}

struct reply lock_take_away(struct fixture *f, uint64_t inode, uint64_t token)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__LockBreak q = COORDFS__LOCK_BREAK__INIT;
	command.of_case = COORDFS__COMMAND__OF_LOCK_BREAK;
	command.lock_break = &q;
	q.inode = inode;
	q.token = token;
	return fixture_apply(f, &command);
}

struct reply lock_end_session(struct fixture *f, uint64_t session)
{
	Coordfs__Command command = COORDFS__COMMAND__INIT;
	Coordfs__SessionEnd q = COORDFS__SESSION_END__INIT;
	command.of_case = COORDFS__COMMAND__OF_SESSION_END;
	command.session_end = &q;
	q.session = session;
	q.reason = (char *)"unmounted";
	return fixture_apply_as(f, 0, 0, &command);
}

struct listing {
	char text[4000];
	size_t size;
};

static int list_one(void *ctx, const struct lock_info *l)
{
	struct listing *list = ctx;
	char range[64] = "", end[24] = "";
	if (l->end != UINT64_MAX)
		snprintf(end, sizeof end, "%llu", (unsigned long long)l->end);
	if (l->start != 0 || l->end != UINT64_MAX)
		snprintf(range, sizeof range, "[%llu-%s]", (unsigned long long)l->start, end);
	list->size += (size_t)snprintf(list->text + list->size, sizeof list->text - list->size, "%s%llu%c%s%s",
				       list->size ? " " : "", (unsigned long long)l->owner,
				       l->mode == LOCK_MODE_EXCLUSIVE ? 'x' : 's', range, l->token ? "" : "?");
	return 0;
}

const char *lock_list(struct fixture *f, uint64_t inode)
{
	static struct listing list;
	list = (struct listing){.size = 0};
	machine_locks(f->machine, inode, list_one, &list);
	return list.text;
}
