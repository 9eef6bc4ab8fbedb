#include "model.h"

#include <inttypes.h>

/* ---- counter: a is the value ---- */

static bool add(int64_t value, int64_t amount, int64_t *out) { return !__builtin_add_overflow(value, amount, out); }

static bool counter_step(const struct move *m, struct state *s)
{
	int64_t sum;

	switch (m->verb) {
	case VERB_READ:
		return !m->has_result || s->a == m->result;
	case VERB_SET:
		s->a = m->a;
		return true;
	case VERB_ADD:
		if (!add(s->a, m->a, &sum) || (m->has_result && sum != m->result))
			return false;
		s->a = sum;
		return true;
	case VERB_CAS:
		if ((s->a == m->a) == m->refused)
			return false;
		if (!m->refused)
			s->a = m->b;
		return true;
	default:
		return false;
	}
}

/* ---- register: a is the text, b its revision, 0: nobody has seen it yet; c is the highest revision seen ----
 *
 * A write does not tell the revision that it made; the first who reads it does, and then it must be above all before. */

static bool register_has_revision(struct state *s, int64_t revision)
{
	if (s->b == revision)
		return true;
	if (s->b != 0 || revision <= s->c)
		return false;
	s->b = s->c = revision;
	return true;
}

static void register_write(struct state *s, int64_t text, int64_t revision)
{
	s->a = text;
	s->b = revision;
	if (revision > s->c)
		s->c = revision;
}

/* One that was refused says: not this revision. When nobody has seen the present one, it may be any other. */
static bool register_cas(const struct move *m, struct state *s)
{
	struct state next = *s;

	if (m->refused)
		return s->b != m->a;
	if (!register_has_revision(&next, m->a) || (m->has_result && m->result <= next.c))
		return false;
	register_write(&next, m->b, m->has_result ? m->result : 0);
	*s = next;
	return true;
}

static bool register_step(const struct move *m, struct state *s)
{
	switch (m->verb) {
	case VERB_READ:
		return !m->has_result || s->a == m->result;
	case VERB_WRITE:
		register_write(s, m->a, 0);
		return true;
	case VERB_REVISION:
		return !m->has_result || register_has_revision(s, m->result);
	case VERB_CAS:
		return register_cas(m, s);
	default:
		return false;
	}
}

/* ---- name: a is the identity of the move that made it, 0: absent; b is its text ---- */

static bool name_step(const struct move *m, struct state *s)
{
	bool present = s->a != 0;

	switch (m->verb) {
	case VERB_READ:
		return m->refused ? !present : present && (!m->has_result || s->b == m->result);
	case VERB_CREATE:
		if (present != m->refused)
			return false;
		if (!m->refused)
			*s = (struct state){m->identity, m->a, 0};
		return true;
	case VERB_UNLINK:
		if (present == m->refused)
			return false;
		*s = (struct state){0, 0, 0};
		return true;
	case VERB_LAPSE:
		if (s->a != m->a)
			return false;
		*s = (struct state){0, 0, 0};
		return true;
	default:
		return false;
	}
}

/* ---- fence: a is the highest token ---- */

static bool fence_step(const struct move *m, struct state *s)
{
	if (m->verb == VERB_READ)
		return !m->has_result || s->a == m->result;
	if ((m->a < s->a) != m->refused)
		return false;
	if (!m->refused)
		s->a = m->a;
	return true;
}

model_step model_of(enum object_kind kind)
{
	switch (kind) {
	case KIND_COUNTER:
		return counter_step;
	case KIND_REGISTER:
		return register_step;
	case KIND_NAME:
		return name_step;
	case KIND_FENCE:
		return fence_step;
	default:
		return NULL;
	}
}

void state_print(FILE *out, const struct history *h, enum object_kind kind, struct state state)
{
	switch (kind) {
	case KIND_REGISTER:
		fprintf(out, "'%s', revision %" PRId64 " (0: not seen), highest seen %" PRId64, history_text(h, state.a), state.b,
			state.c);
		break;
	case KIND_NAME:
		if (state.a)
			fprintf(out, "'%s'", history_text(h, state.b));
		else
			fputs("absent", out);
		break;
	default:
		fprintf(out, "%" PRId64, state.a);
	}
}
