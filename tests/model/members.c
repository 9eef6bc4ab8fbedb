#include "members.h"

#include "machine/level.h"

#include <stdio.h>
#include <string.h>

static char *some_address(struct chance *c)
{
	static const char *const some[] = {"", "tcp://a:1", "tcp://b:2", "tcp://[::1]:3", "tcp://a:1", "udp://a:1"};
	return (char *)some[chance_below(c, chance_one_in(c, 10) ? 6 : 5)];
}

static uint64_t some_member(struct chance *c, struct reference *r, unsigned names)
{
	char name[16];
	snprintf(name, sizeof name, "m%d", (int)chance_below(c, names));
	const struct ref_member *m = reference_member_named(r, name);
	return m && !chance_one_in(c, 20) ? m->id : chance_below(c, 20);
}

/* Members are upgraded, and now and then one is not. */
uint32_t generate_level(struct chance *c, const struct reference *r)
{
	if (r->level < LEVEL_LATEST)
		return LEVEL_LATEST;
	return chance_one_in(c, 20) ? r->level - 1 : chance_one_in(c, 3) ? r->level + 1 : r->level;
}

static void generate_add(struct chance *c, const struct reference *r, unsigned names, uint64_t index,
			 struct generated_member *out)
{
	Coordfs__MemberAdd *q = &out->of.add;
	coordfs__member_add__init(q);
	out->command.of_case = COORDFS__COMMAND__OF_MEMBER_ADD;
	out->command.member_add = q;
	if (chance_one_in(c, 20))
		snprintf(out->name, sizeof out->name, "%s", chance_one_in(c, 2) ? "" : chance_one_in(c, 2) ? ".m" : "m/1");
	else
		snprintf(out->name, sizeof out->name, "m%d", (int)chance_below(c, names));
	memset(out->token, chance_one_in(c, 6) ? 'x' : out->name[1], sizeof out->token);
	q->name = out->name;
	q->address = some_address(c);
	q->level = generate_level(c, r);
	q->token = (ProtobufCBinaryData){chance_one_in(c, 20) ? 15 : 16, out->token};
	if (chance_one_in(c, 4))
		q->id = chance_one_in(c, 3) ? index + chance_below(c, 3) : chance_below(c, index + 1);
}

static void generate_set(struct chance *c, struct reference *r, unsigned names, struct generated_member *out)
{
	Coordfs__MemberSet *q = &out->of.set;
	coordfs__member_set__init(q);
	out->command.of_case = COORDFS__COMMAND__OF_MEMBER_SET;
	out->command.member_set = q;
	q->id = some_member(c, r, names);
	q->address = some_address(c);
	q->wish = (uint32_t)chance_below(c, chance_one_in(c, 10) ? 6 : 4);
}

static void generate_end(struct chance *c, struct reference *r, unsigned names, struct generated_member *out)
{
	if (chance_one_in(c, 4)) {
		coordfs__cluster_reset__init(&out->of.reset);
		out->command.of_case = COORDFS__COMMAND__OF_CLUSTER_RESET;
		out->command.cluster_reset = &out->of.reset;
		out->of.reset.keep = chance_one_in(c, 3) ? 0 : some_member(c, r, names);
		out->of.reset.reason = (char *)"lost";
		return;
	}
	coordfs__member_remove__init(&out->of.remove);
	out->command.of_case = COORDFS__COMMAND__OF_MEMBER_REMOVE;
	out->command.member_remove = &out->of.remove;
	out->of.remove.id = some_member(c, r, names);
}

void generate_member(struct chance *c, struct reference *r, unsigned names, uint64_t index, struct generated_member *out)
{
	coordfs__command__init(&out->command);
	if (chance_one_in(c, 2))
		generate_add(c, r, names, index, out);
	else if (chance_one_in(c, 2))
		generate_set(c, r, names, out);
	else
		generate_end(c, r, names, out);
}
