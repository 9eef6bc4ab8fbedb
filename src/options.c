#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "machine/machine.h"

struct parser {
	struct options *options;
	char *error;
	size_t error_size;
	bool allow_other, allow_root;
};

static int refuse(struct parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int refuse(struct parser *p, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(p->error, p->error_size, format, ap);
	va_end(ap);
	return -1;
}

static int set_string(struct parser *p, char **out, const char *value)
{
	free(*out);
	*out = strdup(value);
	return *out ? 0 : refuse(p, "out of memory");
}

/* ---- the options with a value ---- */

struct range {
	unsigned min, max;
};

static int set_number(struct parser *p, const char *name, const char *value, struct range range, unsigned *out)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end || errno || number < range.min || number > range.max)
		return refuse(p, "option %s=%s: a number from %u to %u is wanted", name, value, range.min, range.max);
	*out = (unsigned)number;
	return 0;
}

static int set_timeout(struct parser *p, const char *value)
{
	return set_number(p, "timeout", value, (struct range){1, 3600}, &p->options->timeout_s);
}

static int set_session_ttl(struct parser *p, const char *value)
{
	return set_number(p, "session_ttl", value, (struct range){1, LIMIT_SESSION_TTL_S_MAX},
			  &p->options->session_ttl_s);
}

static int set_voters(struct parser *p, const char *value)
{
	return set_number(p, "voters", value, (struct range){1, 9}, &p->options->voters);
}

static int set_election_timeout(struct parser *p, const char *value)
{
	return set_number(p, "election_timeout", value, (struct range){100, 60000}, &p->options->election_ms);
}

static int set_heartbeat(struct parser *p, const char *value)
{
	return set_number(p, "heartbeat", value, (struct range){10, 12000}, &p->options->heartbeat_ms);
}

static int set_replace_after(struct parser *p, const char *value)
{
	return set_number(p, "replace_after", value, (struct range){1, 30 * 86400}, &p->options->replace_s);
}

static int set_name(struct parser *p, const char *value)
{
	if (!machine_member_name_is_valid(value))
		return refuse(p, "option name=%s: " OPTIONS_NAME_RULE, value);
	return set_string(p, &p->options->member, value);
}

static int set_consistency(struct parser *p, const char *value)
{
	static const struct {
		const char *word;
		enum consistency level;
	} choices[] = {{"strong", CONSISTENCY_UNSET}, {"weak", CONSISTENCY_WEAK}, {"eventual", CONSISTENCY_EVENTUAL}};

	for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
		if (strcmp(value, choices[i].word) != 0)
			continue;
		p->options->consistency = choices[i].level;
		return 0;
	}
	return refuse(p, "option consistency=%s: strong, weak or eventual is wanted", value);
}

static int set_on_loss(struct parser *p, const char *value)
{
	static const struct {
		const char *word;
		int signal;
	} choices[] = {{"none", 0}, {"term", SIGTERM}, {"kill", SIGKILL}};

	for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
		if (strcmp(value, choices[i].word) != 0)
			continue;
		p->options->loss_signal = choices[i].signal;
		return 0;
	}
	return refuse(p, "option on_loss=%s: none, term or kill is wanted", value);
}

/* Others are told of this address, so it must be one that they can connect to. */
static bool is_everywhere(const char *address)
{
	static const char *const list[] = {"tcp://*:", "tcp://0.0.0.0:", "tcp://[::]:"};

	for (size_t i = 0; i < sizeof list / sizeof *list; i++)
		if (strncmp(address, list[i], strlen(list[i])) == 0)
			return true;
	return false;
}

static int set_listen(struct parser *p, const char *value)
{
	if (net_address_check(value, "listen", p->error, p->error_size) < 0)
		return -1;
	if (is_everywhere(value))
		return refuse(p, "option listen=%s: the other members connect to this address: name one of this host's", value);
	return set_string(p, &p->options->listen, value);
}

/* Calls each for every address of a join list until it returns non-zero. */
static int each_address(struct parser *p, const char *list, int (*each)(struct parser *p, const char *address))
{
	char *copy = strdup(list), *rest = copy, *address;
	int code = copy ? 0 : refuse(p, "out of memory");

	while (code == 0 && (address = strsep(&rest, "+")))
		code = each(p, address);
	free(copy);
	return code;
}

static int check_join(struct parser *p, const char *address)
{
	return net_address_check(address, "join", p->error, p->error_size) < 0 ? -1 : 0;
}

static int set_join(struct parser *p, const char *value)
{
	if (each_address(p, value, check_join) < 0)
		return -1;
	return set_string(p, &p->options->join, value);
}

static int set_key(struct parser *p, const char *value)
{
	if (!*value)
		return refuse(p, "option key=: the name of a file is wanted, which `coordfs keygen FILE` makes");
	p->options->has_key = net_key_read(value, p->options->key, p->error, p->error_size) == 0;
	return p->options->has_key ? 0 : -1;
}

static const struct {
	const char *name;
	int (*set)(struct parser *p, const char *value);
} valued[] = {
	{"name", set_name},
	{"timeout", set_timeout},
	{"session_ttl", set_session_ttl},
	{"voters", set_voters},
	{"consistency", set_consistency},
	{"on_loss", set_on_loss},
	{"listen", set_listen},
	{"join", set_join},
	{"key", set_key},
	{"election_timeout", set_election_timeout},
	{"heartbeat", set_heartbeat},
	{"replace_after", set_replace_after},
};

/* ---- the options that are words ---- */

static bool is_among(const char *word, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(word, *list) == 0)
			return true;
	return false;
}

/* mount(8) and fstab say these to everybody; they mean nothing here, or what is so anyway. (inotify: changes of other
 * members raise no events in this version.) */
static bool is_ignored(const char *word)
{
	static const char *const list[] = {
		"rw",	 "defaults", "auto",	  "noauto",   "user",	"nouser",   "users",	  "owner",    "group",
		"dev",	 "suid",     "exec",	  "async",    "atime",	"diratime", "relatime",   "norelatime",
		"nofail", "_netdev", "nomand",	  "loud",     "inotify", "default_permissions", "",	NULL,
	};

	return is_among(word, list) || strncmp(word, "x-", 2) == 0 || strncmp(word, "X-", 2) == 0 ||
	       strncmp(word, "comment=", 8) == 0;
}

static bool is_for_kernel(const char *word)
{
	static const char *const list[] = {
		"ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "sync", "dirsync", "auto_unmount", NULL,
	};

	return is_among(word, list);
}

static int add_kernel(struct parser *p, const char *word)
{
	char *old = p->options->kernel, *both;

	if (asprintf(&both, "%s%s%s", old ? old : "", old ? "," : "", word) < 0)
		return refuse(p, "out of memory");
	free(old);
	p->options->kernel = both;
	return 0;
}

static int set_word(struct parser *p, const char *word)
{
	if (strcmp(word, "allow_other") == 0)
		p->allow_other = true;
	else if (strcmp(word, "allow_root") == 0)
		p->allow_root = true;
	else if (strcmp(word, "insecure") == 0)
		p->options->insecure = true;
	else if (strcmp(word, "debug") == 0)
		p->options->debug = true;
	else if (is_for_kernel(word))
		return add_kernel(p, word);
	else if (!is_ignored(word))
		return refuse(p, "unknown option '%s': coordfs -h lists them", word);
	return 0;
}

static int set_option(struct parser *p, char *option)
{
	char *value = strchr(option, '=');
	size_t size = value ? (size_t)(value - option) : strlen(option);

	for (size_t i = 0; i < sizeof valued / sizeof *valued; i++) {
		if (strlen(valued[i].name) != size || memcmp(valued[i].name, option, size) != 0)
			continue;
		if (!value)
			return refuse(p, "option %s: %s=VALUE is wanted", option, option);
		return valued[i].set(p, value + 1);
	}
	return set_word(p, option);
}

static int set_options(struct parser *p, const char *list)
{
	char *copy = strdup(list), *rest = copy, *option;
	int code = copy ? 0 : refuse(p, "out of memory");

	while (code == 0 && (option = strsep(&rest, ",")))
		code = set_option(p, option);
	free(copy);
	return code;
}

/* ---- paths ---- */

/* The daemon's working directory is "/". The last part of source may not be there yet. */
static int make_absolute(struct parser *p, char **path)
{
	char directory[PATH_MAX], *absolute = realpath(*path, NULL);

	if (!absolute && (*path)[0] != '/') {
		if (!getcwd(directory, sizeof directory))
			return refuse(p, "the working directory is gone: %s", strerror(errno));
		if (asprintf(&absolute, "%s/%s", directory, *path) < 0)
			absolute = NULL;
	} else if (!absolute) {
		absolute = strdup(*path);
	}
	if (!absolute)
		return refuse(p, "out of memory");
	free(*path);
	*path = absolute;
	return 0;
}

static bool is_below(const char *path, const char *directory)
{
	size_t size = strlen(directory);

	return strncmp(path, directory, size) == 0 && (path[size] == '/' || path[size] == '\0' || size == 1);
}

static int check_paths(struct parser *p)
{
	struct options *o = p->options;

	if (!o->source || !o->mountpoint)
		return refuse(p, "usage: coordfs SOURCE MOUNTPOINT [-o OPTION,...]; coordfs -h tells more");
	if (!*o->source || !*o->mountpoint)
		return refuse(p, "SOURCE and MOUNTPOINT must not be empty");
	if (make_absolute(p, &o->source) < 0 || make_absolute(p, &o->mountpoint) < 0)
		return -1;
	if (is_below(o->source, o->mountpoint))
		return refuse(p, "%s: the data directory lies below the mount point %s, which would hide it",
			      o->source, o->mountpoint);
	return 0;
}

/* ---- what must fit together ---- */

static int check_exposed(struct parser *p, const char *what, const char *address)
{
	if (p->options->has_key || p->options->insecure || net_address_is_loopback(address))
		return 0;
	return refuse(p,
		      "%s=%s leaves this host: give key=FILE (`coordfs keygen FILE` makes one for the whole cluster), or "
		      "insecure, if whoever reaches that address may read and change everything",
		      what, address);
}

static int check_join_exposed(struct parser *p, const char *address)
{
	return check_exposed(p, "join", address);
}

static int check_cluster(struct parser *p)
{
	const struct options *o = p->options;

	if (o->has_key && o->insecure)
		return refuse(p, "options key and insecure contradict each other: give one of them");
	if (o->join && !o->listen)
		return refuse(p, "option join: a member must be reached by the others: give listen=tcp://HOST:PORT too");
	if (o->listen && check_exposed(p, "listen", o->listen) < 0)
		return -1;
	return o->join ? each_address(p, o->join, check_join_exposed) : 0;
}

/* What was not given follows the election timeout. */
static int settle_times(struct parser *p)
{
	struct options *o = p->options;

	if (!o->heartbeat_ms)
		o->heartbeat_ms = o->election_ms / 10;
	if (!o->replace_s)
		o->replace_s = o->election_ms > 20000 ? o->election_ms * 3 / 1000 : 60;
	if (o->heartbeat_ms > o->election_ms / 5)
		return refuse(p,
			      "option heartbeat=%u: at most a fifth of election_timeout (%u) is wanted, that a lost one does "
			      "no harm",
			      o->heartbeat_ms, o->election_ms);
	if (o->replace_s < o->election_ms / 500)
		return refuse(p, "option replace_after=%u: at least twice election_timeout (%u ms) is wanted", o->replace_s,
			      o->election_ms);
	return 0;
}

/* ---- the whole line ---- */

static int add_path(struct parser *p, const char *path)
{
	struct options *o = p->options;

	if (!o->source)
		return set_string(p, &o->source, path);
	if (!o->mountpoint)
		return set_string(p, &o->mountpoint, path);
	return refuse(p, "'%s': SOURCE and MOUNTPOINT are given already", path);
}

static int parse_flag(struct parser *p, int flag, const char *argument)
{
	switch (flag) {
	case 'f':
		p->options->foreground = true;
		return 0;
	case 'd':
		p->options->foreground = p->options->debug = true;
		return 0;
	case 'h':
		p->options->help = true;
		return 0;
	case 'V':
		p->options->version = true;
		return 0;
	case 'o':
		return set_options(p, argument);
	case 's':
		return 0; /* one thread: it is so */
	case ':':
		return refuse(p, "-%c wants a value", optopt);
	case 1:
		return add_path(p, argument);
	default:
		return optopt ? refuse(p, "unknown option '-%c': coordfs -h lists them", optopt)
			      : refuse(p, "unknown option: coordfs -h lists them");
	}
}

/* root mounts for all, others for themselves. */
static int settle_access(struct parser *p)
{
	if (p->allow_root && !p->allow_other)
		return add_kernel(p, "allow_root");
	if (p->allow_other || geteuid() == 0)
		return add_kernel(p, "allow_other");
	return 0;
}

int options_parse(struct options *o, int argc, char **argv, char *error, size_t error_size)
{
	static const struct option words[] = {
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	struct parser p = {.options = o, .error = error, .error_size = error_size};
	int flag, code = 0;

	*o = (struct options){.timeout_s = 10, .session_ttl_s = 10, .voters = 5, .election_ms = 650};
	opterr = 0;
	while (code == 0 && (flag = getopt_long(argc, argv, "-:fdhVso:", words, NULL)) != -1)
		code = parse_flag(&p, flag, optarg);
	for (; code == 0 && optind < argc; optind++)
		code = add_path(&p, argv[optind]);
	if (code < 0 || o->help || o->version)
		return code;
	if (check_paths(&p) < 0 || check_cluster(&p) < 0 || settle_times(&p) < 0)
		return -1;
	return settle_access(&p);
}

void options_fini(struct options *o)
{
	free(o->source);
	free(o->mountpoint);
	free(o->member);
	free(o->kernel);
	free(o->listen);
	free(o->join);
	explicit_bzero(o->key, sizeof o->key);
	*o = (struct options){0};
}
