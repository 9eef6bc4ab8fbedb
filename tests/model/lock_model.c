/* Random lock commands on the machine and on a naive reference, which must agree: replies, tokens, events in their order,
 * deadlocks, and the whole table; and again after the state went through an image.
 *
 * The reference keeps a cell for each owner and byte, and looks at everything. Bytes are the segments between
 * `bounds`. A failure prints its seed and the shortest list of commands found that still fails.
 *
 *     LOCK_MODEL_SEED=n      that seed only
 *     LOCK_MODEL_SEEDS=n     so many */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/lock_fixture.h"

#define SESSIONS 3
#define OWNERS 4
#define KINDS 3
#define PARTIES (KINDS * SESSIONS * OWNERS) /* owners as the rules know them; a bit each in a u64 */
#define FILES 2
#define SEGMENTS 10
#define WAITERS 30
#define COMMANDS 3000
#ifdef __SANITIZE_ADDRESS__
#define SEEDS 100 /* slow */
#else
#define SEEDS 350
#endif
#define FIRST_FILE 1000

static const uint64_t bounds[SEGMENTS + 1] = {0, 1, 2, 3, 10, 11, 4096, 1ull << 40, 1ull << 62, UINT64_MAX, 0};

enum what { ASK, WITHDRAW, DROP_OWNER, DROP_HANDLE, BREAK, REOPEN, RELOAD };
struct command {
	enum what what;
	unsigned session, owner, kind, file, from, to, mode, handle, pick;
	bool wait;
};

/* ---- the reference ---- */

struct cell {
	unsigned mode;
	uint64_t handle, token;
};
struct waiter {
	unsigned file, party, from, to, mode;
	uint64_t handle, sequence;
	bool extends;
};
struct reference {
	struct cell held[FILES][PARTIES][SEGMENTS];
	struct waiter waiters[WAITERS];
	unsigned waiting;
	struct event events[64];
	unsigned event_count;
	uint64_t index;
	uint64_t session[SESSIONS];
};

static unsigned party_of(unsigned kind, unsigned session, unsigned owner)
{
	return ((kind - 1) * SESSIONS + session) * OWNERS + owner;
}

static unsigned session_of(unsigned party)
{
	return party / OWNERS % SESSIONS;
}

static bool same_domain(unsigned a, unsigned b)
{
	return (a < SESSIONS * OWNERS) == (b < SESSIONS * OWNERS);
}

static bool modes_conflict(unsigned a, unsigned b)
{
	return a && b && (a == LOCK_MODE_EXCLUSIVE || b == LOCK_MODE_EXCLUSIVE);
}

static uint64_t blocking_holders(const struct reference *r, const struct waiter *w)
{
	uint64_t parties = 0;
	for (unsigned p = 0; p < PARTIES; p++)
		for (unsigned s = w->from; s <= w->to; s++)
			if (p != w->party && same_domain(p, w->party) &&
			    modes_conflict(r->held[w->file][p][s].mode, w->mode))
				parties |= 1ull << p;
	return parties;
}

/* w comes after the first `before` waiters. */
static uint64_t blockers(const struct reference *r, const struct waiter *w, unsigned before)
{
	uint64_t parties = blocking_holders(r, w);
	for (unsigned i = 0; i < before && !w->extends; i++) {
		const struct waiter *o = &r->waiters[i];
		if (o->file == w->file && o->party != w->party && same_domain(o->party, w->party) && o->from <= w->to &&
		    w->from <= o->to && modes_conflict(o->mode, w->mode))
			parties |= 1ull << o->party;
	}
	return parties;
}

static bool closes_cycle(const struct reference *r, const struct waiter *want)
{
	uint64_t reached = blockers(r, want, r->waiting), before;
	do {
		before = reached;
		for (unsigned i = 0; i < r->waiting; i++)
			if (reached >> r->waiters[i].party & 1)
				reached |= blockers(r, &r->waiters[i], i);
	} while (reached != before);
	return reached >> want->party & 1;
}

static void tell(struct reference *r, struct event event)
{
	r->events[r->event_count++] = event;
}

static void clear(struct reference *r, const struct waiter *w)
{
	memset(&r->held[w->file][w->party][w->from], 0, (w->to - w->from + 1) * sizeof(struct cell));
}

static void take(struct reference *r, const struct waiter *w)
{
	struct cell *cells = r->held[w->file][w->party];
	unsigned from = w->from, to = w->to;
	while (from > 0 && cells[from - 1].mode == w->mode && cells[from - 1].handle == w->handle)
		from--;
	while (to + 1 < SEGMENTS && cells[to + 1].mode == w->mode && cells[to + 1].handle == w->handle)
		to++;
	for (unsigned s = from; s <= to; s++)
		cells[s] = (struct cell){w->mode, w->handle, r->index};
}

static void forget_waiter(struct reference *r, unsigned i)
{
	memmove(&r->waiters[i], &r->waiters[i + 1], (--r->waiting - i) * sizeof *r->waiters);
}

static void settle(struct reference *r)
{
	for (unsigned i = 0; i < r->waiting; i++) {
		struct waiter w = r->waiters[i];
		if (blockers(r, &w, i))
			continue;
		forget_waiter(r, i);
		take(r, &w);
		tell(r, (struct event){.type = EVENT_GRANT, .session = r->session[session_of(w.party)],
				       .sequence = w.sequence, .token = r->index, .inode = FIRST_FILE + w.file,
				       .handle = w.handle, .owner = w.party % OWNERS + 1});
		i = UINT32_MAX; /* from the front again */
	}
}

static struct waiter waiter_of(const struct command *q, uint64_t sequence)
{
	bool flock = q->kind == LOCK_KIND_FLOCK;
	return (struct waiter){.file = q->file, .party = party_of(q->kind, q->session, q->owner),
			       .from = flock ? 0 : q->from, .to = flock ? SEGMENTS - 1 : q->to, .mode = q->mode,
			       .handle = q->handle, .sequence = sequence};
}

static int ask_blocked(struct reference *r, const struct command *q, struct waiter *w)
{
	if (q->wait && q->kind != LOCK_KIND_FLOCK && closes_cycle(r, w))
		return ERR_DEADLOCK;
	if (q->kind == LOCK_KIND_FLOCK) {
		clear(r, w);
		w->extends = false;
	}
	if (q->wait)
		r->waiters[r->waiting++] = *w;
	settle(r);
	return q->wait ? QUEUED : ERR_WOULD_BLOCK;
}

static int ask(struct reference *r, const struct command *q, uint64_t sequence, uint64_t *token)
{
	struct waiter w = waiter_of(q, sequence);
	const struct cell *cells = r->held[w.file][w.party];
	unsigned same = 0, length = w.to - w.from + 1;
	for (unsigned s = w.from; s <= w.to; s++) {
		same += cells[s].mode == w.mode && cells[s].handle == w.handle;
		w.extends |= cells[s].mode != 0;
	}
	*token = same == length && w.mode ? cells[w.from].token : w.mode ? r->index : 0;
	if (same == length && w.mode)
		return OK;
	if (w.mode && blockers(r, &w, r->waiting))
		return ask_blocked(r, q, &w);
	if (w.mode)
		take(r, &w);
	else
		clear(r, &w);
	settle(r);
	return OK;
}

static void drop_handle(struct reference *r, unsigned session, unsigned file, uint64_t handle)
{
	for (unsigned p = 0; p < PARTIES; p++)
		for (unsigned s = 0; s < SEGMENTS; s++)
			if (session_of(p) == session && r->held[file][p][s].handle == handle)
				r->held[file][p][s] = (struct cell){0};
	for (unsigned i = 0; i < r->waiting; i++) {
		struct waiter w = r->waiters[i];
		if (w.file != file || session_of(w.party) != session || w.handle != handle)
			continue;
		tell(r, (struct event){.type = EVENT_DENY, .session = r->session[session], .sequence = w.sequence,
				       .inode = FIRST_FILE + file, .handle = handle, .owner = w.party % OWNERS + 1,
				       .code = ERR_INTERRUPTED});
		forget_waiter(r, i--);
	}
	settle(r);
}

static void drop_owner(struct reference *r, const struct command *q)
{
	unsigned p = party_of(LOCK_KIND_POSIX, q->session, q->owner);
	memset(r->held[q->file][p], 0, sizeof r->held[q->file][p]);
	settle(r);
}

static void end_session(struct reference *r, unsigned session)
{
	for (unsigned p = 0; p < PARTIES; p++)
		for (unsigned i = 0; i < FILES && session_of(p) == session; i++)
			memset(r->held[i][p], 0, sizeof r->held[i][p]);
	for (unsigned i = 0; i < r->waiting; i++)
		if (session_of(r->waiters[i].party) == session)
			forget_waiter(r, i--);
	settle(r);
	tell(r, (struct event){.type = EVENT_SESSION_END, .session = r->session[session]});
}

/* A run of cells of one token is one lock, and one loss. */
static int take_away(struct reference *r, unsigned file, uint64_t token)
{
	bool found = false;
	for (unsigned p = 0; p < PARTIES; p++)
		for (unsigned s = 0; s < SEGMENTS; s++) {
			struct cell *c = &r->held[file][p][s], lost = *c;
			if (lost.token != token)
				continue;
			found = true;
			if (s + 1 == SEGMENTS || c[1].mode != lost.mode || c[1].handle != lost.handle)
				tell(r, (struct event){.type = EVENT_LOSS, .session = r->session[session_of(p)],
						       .token = token, .inode = FIRST_FILE + file,
						       .handle = lost.handle, .owner = p % OWNERS + 1});
			*c = (struct cell){0};
		}
	settle(r);
	return found ? OK : ERR_NOT_FOUND;
}

/* ---- both ---- */

struct pair {
	struct reference r;
	struct fixture *f;
	uint64_t sequence[SESSIONS];
	uint64_t last[FILES]; /* highest token seen */
	unsigned refused, deadlocks, queued, grants, losses, denied;
};

static struct pair *pair_new(void)
{
	struct pair *p = calloc(1, sizeof *p);
	char member[8];
	assert_non_null(p);
	p->f = calloc(1, sizeof *p->f);
	assert_non_null(p->f);
	fixture_init(p->f);
	p->f->check = false;
	for (unsigned s = 0; s < SESSIONS; s++) {
		snprintf(member, sizeof member, "m%u", s);
		p->r.session[s] = fixture_open(p->f, member);
	}
	return p;
}

static void pair_free(struct pair *p)
{
	fixture_fini(p->f);
	free(p->f);
	free(p);
}

static struct reply system_ask(struct pair *p, const struct command *q)
{
	bool flock = q->kind == LOCK_KIND_FLOCK;
	return lock_ask(p->f, &(struct asked){.inode = FIRST_FILE + q->file, .kind = (enum lock_kind)q->kind,
					      .mode = (enum lock_mode)q->mode, .start = flock ? 0 : bounds[q->from],
					      .end = flock ? UINT64_MAX : bounds[q->to + 1] - 1, .owner = q->owner + 1,
					      .handle = q->handle, .wait = q->wait});
}

/* F_GETLK, of a mode that is asked for: is anything in the way? */
static bool same_question(const struct pair *p, const struct command *q)
{
	struct waiter w = waiter_of(q, 0);
	struct lock_info got, want = {.session = p->r.session[q->session], .owner = q->owner + 1,
				      .kind = (enum lock_kind)q->kind, .mode = (enum lock_mode)q->mode,
				      .start = bounds[w.from], .end = bounds[w.to + 1] - 1};
	for (unsigned s = w.from; s <= w.to; s++)
		w.extends |= p->r.held[w.file][w.party][s].mode != 0;
	return machine_lock_conflict(p->f->machine, FIRST_FILE + q->file, &want, &got) ==
	       (blockers(&p->r, &w, p->r.waiting) != 0);
}

static bool same_ask(struct pair *p, const struct command *q)
{
	uint64_t token;
	if (q->mode && !same_question(p, q))
		return false;
	struct reply got = system_ask(p, q);
	int code = ask(&p->r, q, p->f->sequence, &token);
	p->deadlocks += code == ERR_DEADLOCK;
	p->queued += code == QUEUED;
	p->refused += code == ERR_WOULD_BLOCK;
	return got.code == code && (code != OK || (uint64_t)got.value == token);
}

static bool same_withdraw(struct pair *p, const struct command *q)
{
	uint64_t sequence = p->sequence[q->session] - q->pick % 20; /* mostly gone, or no lock request */
	int code = ERR_NOT_FOUND;
	if (p->r.waiting > 0 && q->pick % 4) {
		const struct waiter *w = &p->r.waiters[q->pick / 4 % p->r.waiting];
		sequence = session_of(w->party) == q->session ? w->sequence : sequence;
	}
	for (unsigned i = 0; i < p->r.waiting && code; i++)
		if (session_of(p->r.waiters[i].party) == q->session && p->r.waiters[i].sequence == sequence) {
			forget_waiter(&p->r, i);
			code = OK;
		}
	if (code == OK)
		settle(&p->r);
	return lock_withdraw(p->f, sequence).code == code;
}

static bool same_break(struct pair *p, const struct command *q)
{
	uint64_t token = p->last[q->file];
	unsigned skip = q->pick % (PARTIES * SEGMENTS);
	for (unsigned i = 0; i < PARTIES * SEGMENTS; i++) {
		const struct cell *c = &p->r.held[q->file][(i + skip) / SEGMENTS % PARTIES][(i + skip) % SEGMENTS];
		token = c->token ? c->token : token;
	}
	token += q->pick % 8 == 0;
	if (token == 0)
		return lock_take_away(p->f, FIRST_FILE + q->file, 0).code == ERR_NOT_FOUND;
	return lock_take_away(p->f, FIRST_FILE + q->file, token).code == take_away(&p->r, q->file, token);
}

static bool same_reopen(struct pair *p, unsigned s)
{
	char member[8];
	uint64_t old = p->r.session[s];
	snprintf(member, sizeof member, "m%u", s);
	end_session(&p->r, s);
	p->r.session[s] = fixture_open(p->f, member);
	p->sequence[s] = p->f->sequence;
	return p->r.session[s] != old;
}

/* ---- the tables ---- */

struct comparison {
	const struct pair *pair;
	struct waiter waiters[WAITERS];
	unsigned waiting, cells;
	bool same;
};

static unsigned segment_of(uint64_t start)
{
	unsigned s = 0;
	while (s + 1 < SEGMENTS && bounds[s + 1] <= start)
		s++;
	return s;
}

static void compare_holder(struct comparison *k, const struct waiter *w, uint64_t token)
{
	const struct cell *c = k->pair->r.held[w->file][w->party];
	for (unsigned s = w->from; s <= w->to; s++)
		k->same &= c[s].mode == w->mode && c[s].handle == w->handle && c[s].token == token;
	k->cells += w->to - w->from + 1;
}

static int compare_one(void *ctx, const struct lock_info *l)
{
	struct comparison *k = ctx;
	struct waiter w = {.file = (unsigned)(l->inode - FIRST_FILE), .from = segment_of(l->start),
			   .to = segment_of(l->end), .mode = l->mode, .handle = l->handle, .sequence = l->sequence};
	unsigned s = 0;
	while (s < SESSIONS && k->pair->r.session[s] != l->session)
		s++;
	k->same &= s < SESSIONS && w.file < FILES && bounds[w.from] == l->start && bounds[w.to + 1] - 1 == l->end;
	if (!k->same)
		return 1;
	w.party = party_of(l->kind, s, (unsigned)l->owner - 1);
	if (l->token)
		compare_holder(k, &w, l->token);
	else if (k->waiting < WAITERS)
		k->waiters[k->waiting++] = w;
	return 0;
}

/* The listing goes file by file; the reference's queue is one. */
static bool same_queue(const struct comparison *k)
{
	unsigned at = 0;
	for (unsigned file = 0; file < FILES; file++)
		for (unsigned i = 0; i < k->pair->r.waiting; i++) {
			const struct waiter *w = &k->pair->r.waiters[i], *l = &k->waiters[at];
			if (w->file != file)
				continue;
			if (at++ == k->waiting || l->file != file || l->party != w->party || l->from != w->from ||
			    l->to != w->to || l->mode != w->mode || l->sequence != w->sequence)
				return false;
		}
	return at == k->waiting;
}

static bool same_tables(const struct pair *p)
{
	struct comparison k = {.pair = p, .same = true};
	unsigned cells = 0;
	for (unsigned i = 0; i < FILES * PARTIES * SEGMENTS; i++)
		cells += p->r.held[i / SEGMENTS / PARTIES][i / SEGMENTS % PARTIES][i % SEGMENTS].mode != 0;
	machine_locks(p->f->machine, 0, compare_one, &k);
	return k.same && k.cells == cells && same_queue(&k);
}

struct listing {
	struct lock_info locks[FILES * PARTIES * SEGMENTS + WAITERS];
	unsigned count;
};

static int list_one(void *ctx, const struct lock_info *l)
{
	struct listing *list = ctx;
	list->locks[list->count] = *l;
	list->locks[list->count].process = (struct bytes){0};
	list->locks[list->count++].member = NULL;
	return 0;
}

/* Numbers, times, all of it; and the copy goes on in the place of the original. */
static bool same_reload(struct pair *p)
{
	static struct listing before, after;
	struct fixture *copy = calloc(1, sizeof *copy);
	before.count = after.count = 0;
	memset(&before, 0, sizeof before);
	memset(&after, 0, sizeof after);
	fixture_reload(p->f, copy);
	machine_locks(p->f->machine, 0, list_one, &before);
	machine_locks(copy->machine, 0, list_one, &after);
	fixture_fini(p->f);
	free(p->f);
	copy->check = false;
	p->f = copy;
	return memcmp(&before, &after, sizeof before) == 0 && machine_check(copy->machine, NULL, NULL) == 0;
}

/* ---- events ---- */

static int event_order(const void *pa, const void *pb)
{
	const struct event *a = pa, *b = pb;
	uint64_t x[] = {a->session, a->owner, a->handle}, y[] = {b->session, b->owner, b->handle};
	for (int i = 0; i < 3; i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

/* Losses come first, each once; in what order is nobody's business. */
static void sort_losses(struct event *events, size_t count)
{
	size_t losses = 0;
	while (losses < count && events[losses].type == EVENT_LOSS)
		losses++;
	qsort(events, losses, sizeof *events, event_order);
}

static bool same_events(struct pair *p)
{
	struct event *a = p->f->events, *b = p->r.events;
	if (p->f->event_count != p->r.event_count)
		return false;
	sort_losses(a, p->r.event_count);
	sort_losses(b, p->r.event_count);
	for (unsigned i = 0; i < p->r.event_count; i++) {
		p->grants += b[i].type == EVENT_GRANT;
		p->losses += b[i].type == EVENT_LOSS;
		p->denied += b[i].type == EVENT_DENY;
		if (b[i].type == EVENT_GRANT)
			p->last[b[i].inode - FIRST_FILE] = b[i].token;
		if (a[i].type != b[i].type || event_order(&a[i], &b[i]) != 0 || a[i].sequence != b[i].sequence ||
		    a[i].token != b[i].token || a[i].inode != b[i].inode || a[i].code != b[i].code)
			return false;
	}
	return true;
}

/* ---- runs ---- */

static bool same_command(struct pair *p, const struct command *q)
{
	struct reference *r = &p->r;
	p->f->session = r->session[q->session];
	p->f->sequence = p->sequence[q->session];
	switch (q->what) {
	case ASK:
		return same_ask(p, q);
	case WITHDRAW:
		return same_withdraw(p, q);
	case DROP_OWNER:
		drop_owner(r, q);
		return lock_release(p->f, FIRST_FILE + q->file, q->owner + 1, 0).code == OK;
	case DROP_HANDLE:
		drop_handle(r, q->session, q->file, q->handle);
		return lock_release(p->f, FIRST_FILE + q->file, 0, q->handle).code == OK;
	case BREAK:
		return same_break(p, q);
	case REOPEN:
		return same_reopen(p, q->session);
	case RELOAD:
		return same_reload(p);
	}
	return false;
}

static bool run_one(struct pair *p, struct command q, unsigned i)
{
	q.wait = q.wait && q.mode && p->r.waiting < WAITERS;
	p->r.event_count = 0;
	p->f->event_count = 0;
	p->r.index = p->f->index + 1;
	bool same = same_command(p, &q);
	p->sequence[q.session] = p->f->sequence;
	return same && same_events(p) && (i % 8 || same_tables(p)) &&
	       (i % 256 || machine_check(p->f->machine, NULL, NULL) == 0);
}

/* The first command that shows a difference, or count. */
static unsigned run(const struct command *commands, unsigned count, struct pair *totals)
{
	struct pair *p = pair_new();
	unsigned i = 0;
	while (i < count && run_one(p, commands[i], i))
		i++;
	totals->deadlocks += p->deadlocks;
	totals->refused += p->refused;
	totals->queued += p->queued;
	totals->grants += p->grants;
	totals->losses += p->losses;
	totals->denied += p->denied;
	pair_free(p);
	return i;
}

/* ---- random commands ---- */

static uint64_t random_next(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static unsigned below(uint64_t *state, unsigned n)
{
	return (unsigned)(random_next(state) % n);
}

static enum what random_what(uint64_t *state)
{
	static const unsigned percent[] = {[ASK] = 84, [WITHDRAW] = 6, [DROP_OWNER] = 3, [DROP_HANDLE] = 3, [BREAK] = 3};
	unsigned roll = below(state, 100);
	for (enum what w = ASK; w <= BREAK; roll -= percent[w++])
		if (roll < percent[w])
			return w;
	return below(state, 4) ? REOPEN : RELOAD;
}

/* Each seed has its own mix: how many owners, how wide the ranges, how often they wait, which kinds. */
static struct command random_command(uint64_t *state, uint64_t seed)
{
	static const unsigned kinds[4][4] = {{1, 1, 1, 1}, {2, 2, 2, 2}, {2, 2, 2, 3}, {1, 2, 2, 3}};
	unsigned width = seed / 4 % 3 == 0 ? SEGMENTS : seed / 4 % 3 == 1 ? 3 : 1, owners = 1 + seed / 12 % OWNERS;
	struct command q = {.what = random_what(state), .session = below(state, SESSIONS), .owner = below(state, owners),
			    .kind = kinds[seed % 4][below(state, 4)], .file = below(state, seed % 5 ? 1 : FILES),
			    .from = below(state, SEGMENTS), .pick = (unsigned)random_next(state)};
	unsigned mode = below(state, 100), unlock = 15 + seed % 3 * 15;
	q.mode = mode < unlock ? LOCK_MODE_UNLOCK : mode % 2 ? LOCK_MODE_SHARED : LOCK_MODE_EXCLUSIVE;
	q.to = q.from + below(state, width);
	q.to = q.to < SEGMENTS ? q.to : SEGMENTS - 1;
	q.wait = below(state, 4) > 0;
	q.handle = q.owner + 1 + (q.kind == LOCK_KIND_POSIX && below(state, 8) == 0 ? 10 : 0);
	return q;
}

/* ---- failures ---- */

static unsigned shrink(struct command *commands, unsigned count)
{
	struct pair ignored = {0};
	struct command *fewer = calloc(count, sizeof *fewer);
	assert_non_null(fewer);
	for (unsigned chunk = count / 2; chunk > 0; chunk /= 2)
		for (unsigned at = 0; at + chunk <= count;) {
			memcpy(fewer, commands, at * sizeof *fewer);
			memcpy(fewer + at, commands + at + chunk, (count - at - chunk) * sizeof *fewer);
			unsigned failed = run(fewer, count - chunk, &ignored);
			if (failed == count - chunk) {
				at += chunk;
				continue;
			}
			count = failed + 1;
			memcpy(commands, fewer, count * sizeof *fewer);
		}
	free(fewer);
	return count;
}

static void print_commands(const struct command *commands, unsigned count)
{
	static const char *const names[] = {"ask", "withdraw", "drop owner", "drop handle", "break", "reopen", "reload"};
	for (unsigned i = 0; i < count; i++) {
		const struct command *q = &commands[i];
		print_message("  %s session %u owner %u kind %u file %u mode %u [%u-%u] handle %u%s\n", names[q->what],
			      q->session, q->owner + 1, q->kind, q->file, q->mode, q->from, q->to, q->handle,
			      q->wait ? " wait" : "");
	}
}

static void run_seed(uint64_t seed, struct pair *totals)
{
	static struct command commands[COMMANDS];
	uint64_t state = seed;
	for (unsigned i = 0; i < COMMANDS; i++)
		commands[i] = random_command(&state, seed);
	unsigned failed = run(commands, COMMANDS, totals);
	if (failed == COMMANDS)
		return;
	unsigned count = shrink(commands, failed + 1);
	print_message("LOCK_MODEL_SEED=%llu: command %u; shortened, the last of:\n", (unsigned long long)seed, failed);
	print_commands(commands, count);
	fail();
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_machine_and_reference_agree(void **state)
{
	struct pair totals = {0};
	uint64_t seed = setting("LOCK_MODEL_SEED", 0), seeds = setting("LOCK_MODEL_SEEDS", SEEDS);
	(void)state;
	if (seed != 0) {
		run_seed(seed, &totals);
		return;
	}
	for (seed = 1; seed <= seeds; seed++)
		run_seed(seed, &totals);
	print_message("%llu commands: %u queued, %u granted later, %u refused, %u deadlocks, %u losses, %u denied\n",
		      (unsigned long long)(seeds * COMMANDS), totals.queued, totals.grants, totals.refused,
		      totals.deadlocks, totals.losses, totals.denied);
	assert_true(totals.queued && totals.grants && totals.refused && totals.deadlocks && totals.losses && totals.denied);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_machine_and_reference_agree),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
