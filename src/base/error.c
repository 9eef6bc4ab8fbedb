#include "base/error.h"

#include <errno.h>
#include <stddef.h>

static const struct {
	int errno_value;
	const char *text;
} table[] = {
#define X(name, errno_value, text) {errno_value, text},
	COORDFS_ERRORS(X)
#undef X
};

static size_t slot_of(int code)
{
	return (size_t)(code - ERROR_FIRST - 1);
}

int error_errno(int code)
{
	if (code >= 0)
		return 0;
	return slot_of(code) < sizeof table / sizeof *table ? table[slot_of(code)].errno_value : EIO;
}

const char *error_text(int code)
{
	if (code >= 0)
		return "success";
	return slot_of(code) < sizeof table / sizeof *table ? table[slot_of(code)].text : "unknown error";
}
