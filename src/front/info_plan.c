/* What a write to `.info` asks, before anything is done: all lines are read first, so that one bad line leaves
 * everything as it was. Pure. */

#include <stdio.h>
#include <string.h>

#include "front/info.h"

static bool is_text(struct bytes b, const char *text)
{
	return b.size == strlen(text) && memcmp(b.data, text, b.size) == 0;
}

static int refuse_line(char *why, int code, const char *text)
{
	snprintf(why, PARSE_ERROR_BYTES, "%s", text);
	return code;
}

static int plan_bound(struct bytes value, bool *set, bool *has, int64_t *bound, char *why)
{
	int code;

	*set = true;
	*has = value.size > 0;
	if (!*has)
		return OK;
	code = parse_s64(value, bound);
	if (code == ERR_RANGE)
		return refuse_line(why, code, "a bound is a 64-bit number");
	return code < 0 ? refuse_line(why, code, "a bound is a decimal number, or empty for none") : OK;
}

static int plan_consistency(struct bytes value, enum consistency *level, char *why)
{
	if (is_text(value, "eventual")) {
		*level = CONSISTENCY_EVENTUAL;
		return OK;
	}
	*level = is_text(value, "strong") ? CONSISTENCY_STRONG : is_text(value, "weak") ? CONSISTENCY_WEAK : CONSISTENCY_UNSET;
	return *level ? OK : refuse_line(why, ERR_INVALID, "consistency= is strong, weak or eventual");
}

static int plan_timeout(struct info_plan *plan, struct bytes value, char *why)
{
	int code = parse_u64(value, &plan->timeout_s);

	plan->set_timeout = true;
	if (code == ERR_INVALID)
		return refuse_line(why, code, "timeout= is a number of seconds");
	if (code < 0 || plan->timeout_s == 0 || plan->timeout_s > INFO_TIMEOUT_S_MAX)
		return refuse_line(why, ERR_RANGE, "timeout= is 1 to 31536000 seconds");
	return OK;
}

static int plan_add(struct info_plan *plan, const struct info_request *line, char *why)
{
	if (line->is_break) {
		plan->is_break = true;
		plan->token = line->token;
		return OK;
	}
	if (is_text(line->key, "min"))
		return plan_bound(line->value, &plan->set_min, &plan->has_min, &plan->min, why);
	if (is_text(line->key, "max"))
		return plan_bound(line->value, &plan->set_max, &plan->has_max, &plan->max, why);
	if (is_text(line->key, "consistency"))
		return plan_consistency(line->value, &plan->consistency, why);
	if (is_text(line->key, "timeout"))
		return plan_timeout(plan, line->value, why);
	return refuse_line(why, ERR_INVALID, "no such key, or not one that can be set");
}

static void plan_init(struct info_plan *plan, char *why)
{
	memset(plan, 0, sizeof *plan);
	why[0] = '\0';
}

int info_plan_set(struct bytes key, struct bytes value, struct info_plan *plan, char *why)
{
	struct info_request request = {.key = key, .value = value};

	plan_init(plan, why);
	return plan_add(plan, &request, why);
}

int info_plan_parse(struct bytes input, struct info_plan *plan, char *why)
{
	struct info_request request;
	struct bytes line;
	unsigned count = 0;
	int code = OK;

	plan_init(plan, why);
	if (input.size > LIMIT_REQUEST_BYTES)
		return refuse_line(why, ERR_TOO_BIG, "a request is 64 KiB at most");
	for (; code == OK && parse_next_line(&input, &line); count++) {
		code = parse_info(line, &request, why);
		if (code == OK)
			code = plan_add(plan, &request, why);
	}
	if (code == OK && (plan->is_break || plan->consistency) && count > 1)
		return refuse_line(why, ERR_INVALID, "break and consistency= are requests of their own: one line");
	return code;
}
