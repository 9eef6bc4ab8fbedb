/* The network of contrib/lab: hosts, which are network namespaces with an interface eth0 each, and a switch between
 * them that loses and delays what it is told to lose and delay.
 *
 *     lab-switch serve SOCKET COUNT      make it; prints the pid of the switch, which goes on in the background
 *     lab-switch tell SOCKET COMMAND...  change it: all of the commands or none; prints the answer
 *
 * A command is a word and its arguments in one string. Hosts have numbers from 1; * stands for every one.
 *     cut FROM TO             frames from FROM to TO are lost
 *     mend FROM TO            they are not
 *     drop FROM TO PERCENT    that part of them is, by chance
 *     delay FROM TO MS        they arrive MS milliseconds later
 *     heal                    no link has anything of this
 *     show                    a line for each link that has, in the words above; also the numbers of frames so far
 *
 * The namespaces have no names: host N's is /proc/PID/fd/(NAMESPACE_FD + N), and all of it is gone when the switch
 * and the last process inside have ended. Addresses are the caller's to give. The interfaces are TAP devices whose
 * other end is this process: frames go from one to the other by the last byte of their MAC address. Segmentation and
 * checksums are left undone on the way (TUNSETOFFLOAD): a frame here may be 64 KiB of TCP. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
	HOSTS_MAX = 60,
	NAMESPACE_FD = 200,
	FRAME_BYTES = 66000,
	FRAMES_AT_ONCE = 64,	/* from one host, before it is the next one's turn */
	WAITING_MAX = 20000,	/* frames that are delayed; more are lost */
	MESSAGE_BYTES = 60000,	/* of commands, of an answer */
	ANSWER_BYTES = 200000,
};
enum { EVENT_TIMER = HOSTS_MAX + 1, EVENT_LISTEN, EVENT_CLIENT }; /* below: a host's number; above: EVENT_CLIENT + fd */

struct link {
	bool cut;
	double percent;
	unsigned delay_ms;
};

struct frame {
	TAILQ_ENTRY(frame) next;
	uint64_t due_ns;
	unsigned to;
	size_t size;
	uint8_t bytes[];
};
TAILQ_HEAD(frames, frame);

struct lan {
	unsigned count; /* of hosts */
	int tap[HOSTS_MAX + 1];
	struct link link[HOSTS_MAX + 1][HOSTS_MAX + 1]; /* from, to */
	struct frames waiting;				/* in the order of due_ns */
	unsigned waiting_count;
	uint64_t passed, lost;
	int epoll, timer, listener;
};

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void die(const char *format, ...)
{
	va_list ap;

	fputs("lab-switch: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputs("\n", stderr);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- frames ---- */

static void deliver(struct lan *lan, unsigned to, const uint8_t *bytes, size_t size)
{
	if (write(lan->tap[to], bytes, size) == (ssize_t)size)
		lan->passed++;
	else
		lan->lost++; /* the interface is down */
}

static void set_timer(struct lan *lan)
{
	const struct frame *first = TAILQ_FIRST(&lan->waiting);
	struct itimerspec when = {0};

	if (first) {
		when.it_value.tv_sec = (time_t)(first->due_ns / 1000000000u);
		when.it_value.tv_nsec = (long)(first->due_ns % 1000000000u);
	}
	timerfd_settime(lan->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void delay(struct lan *lan, unsigned to, const uint8_t *bytes, size_t size, unsigned delay_ms)
{
	struct frame *frame = lan->waiting_count < WAITING_MAX ? malloc(sizeof *frame + size) : NULL, *before;

	if (!frame) {
		lan->lost++;
		return;
	}
	frame->due_ns = now_ns() + (uint64_t)delay_ms * 1000000u;
	frame->to = to;
	frame->size = size;
	memcpy(frame->bytes, bytes, size);
	before = TAILQ_LAST(&lan->waiting, frames);
	while (before && before->due_ns > frame->due_ns)
		before = TAILQ_PREV(before, frames, next);
	if (before)
		TAILQ_INSERT_AFTER(&lan->waiting, before, frame, next);
	else
		TAILQ_INSERT_HEAD(&lan->waiting, frame, next);
	lan->waiting_count++;
	if (!before)
		set_timer(lan);
}

static void on_timer(struct lan *lan)
{
	struct frame *frame;
	uint64_t now = now_ns();

	while ((frame = TAILQ_FIRST(&lan->waiting)) && frame->due_ns <= now) {
		TAILQ_REMOVE(&lan->waiting, frame, next);
		lan->waiting_count--;
		deliver(lan, frame->to, frame->bytes, frame->size);
		free(frame);
	}
	set_timer(lan); /* which also takes back that it fired */
}

static void pass(struct lan *lan, unsigned from, unsigned to, const uint8_t *bytes, size_t size)
{
	const struct link *link = &lan->link[from][to];

	if (link->cut || (link->percent > 0 && drand48() * 100 < link->percent))
		lan->lost++;
	else if (link->delay_ms)
		delay(lan, to, bytes, size, link->delay_ms);
	else
		deliver(lan, to, bytes, size);
}

/* To the host that the frame names, or to all: what has a group's address. */
static void forward(struct lan *lan, unsigned from, const uint8_t *bytes, size_t size)
{
	const uint8_t *mac = bytes + sizeof(struct virtio_net_hdr);

	if (size < sizeof(struct virtio_net_hdr) + 14)
		return;
	if (mac[0] & 1) {
		for (unsigned to = 1; to <= lan->count; to++)
			if (to != from)
				pass(lan, from, to, bytes, size);
	} else if (mac[5] >= 1 && mac[5] <= lan->count && mac[5] != from) {
		pass(lan, from, mac[5], bytes, size);
	}
}

static void on_frames(struct lan *lan, unsigned from)
{
	static uint8_t bytes[FRAME_BYTES];
	ssize_t size;

	for (int i = 0; i < FRAMES_AT_ONCE && (size = read(lan->tap[from], bytes, sizeof bytes)) > 0; i++)
		forward(lan, from, bytes, (size_t)size);
}

/* ---- commands ---- */

/* A host's number, or the range of all of them. */
static bool parse_hosts(const struct lan *lan, const char *word, unsigned range[2])
{
	char *end;
	unsigned long number;

	if (word && strcmp(word, "*") == 0) {
		range[0] = 1;
		range[1] = lan->count;
		return true;
	}
	number = word ? strtoul(word, &end, 10) : 0;
	range[0] = range[1] = (unsigned)number;
	return number >= 1 && number <= lan->count && !*end;
}

static bool parse_figure(const char *word, double max, double *out)
{
	char *end;

	*out = word && *word >= '0' && *word <= '9' ? strtod(word, &end) : -1;
	return *out >= 0 && *out <= max && !*end;
}

enum verb { VERB_CUT, VERB_MEND, VERB_DROP, VERB_DELAY, VERB_HEAL, VERB_SHOW, VERBS };
static const struct {
	const char *word;
	bool has_link;
	double figure_max; /* 0: it has no figure */
} verbs[VERBS] = {
	[VERB_CUT] = {"cut", true, 0},	       [VERB_MEND] = {"mend", true, 0},
	[VERB_DROP] = {"drop", true, 100},     [VERB_DELAY] = {"delay", true, 60000},
	[VERB_HEAL] = {"heal", false, 0},      [VERB_SHOW] = {"show", false, 0},
};

static void change_link(struct link *link, enum verb verb, double figure)
{
	if (verb == VERB_CUT || verb == VERB_MEND)
		link->cut = verb == VERB_CUT;
	else if (verb == VERB_DROP)
		link->percent = figure;
	else
		link->delay_ms = (unsigned)figure;
}

static void show(const struct lan *lan, FILE *answer)
{
	for (unsigned from = 1; from <= lan->count; from++) {
		for (unsigned to = 1; to <= lan->count; to++) {
			const struct link *link = &lan->link[from][to];

			if (link->cut)
				fprintf(answer, "cut %u %u\n", from, to);
			if (link->percent > 0)
				fprintf(answer, "drop %u %u %g\n", from, to, link->percent);
			if (link->delay_ms)
				fprintf(answer, "delay %u %u %u\n", from, to, link->delay_ms);
		}
	}
	fprintf(answer, "frames %llu passed, %llu lost, %u on their way\n", (unsigned long long)lan->passed,
		(unsigned long long)lan->lost, lan->waiting_count);
}

static void apply(struct lan *lan, enum verb verb, const unsigned from[2], const unsigned to[2], double figure,
		  FILE *answer)
{
	if (verb == VERB_HEAL)
		memset(lan->link, 0, sizeof lan->link);
	else if (verb == VERB_SHOW)
		show(lan, answer);
	else
		for (unsigned f = from[0]; f <= from[1]; f++)
			for (unsigned t = to[0]; t <= to[1]; t++)
				if (f != t)
					change_link(&lan->link[f][t], verb, figure);
}

/* One command; the line is taken to pieces. */
static bool command(struct lan *lan, char *line, bool really, FILE *answer)
{
	const char *blanks = " \t";
	char *rest = NULL, *word = strtok_r(line, blanks, &rest);
	unsigned verb = 0, from[2] = {0}, to[2] = {0};
	double figure = 0;

	while (verb < VERBS && (!word || strcmp(word, verbs[verb].word) != 0))
		verb++;
	if (verb == VERBS)
		return false;
	if (verbs[verb].has_link && (!parse_hosts(lan, strtok_r(NULL, blanks, &rest), from) ||
				     !parse_hosts(lan, strtok_r(NULL, blanks, &rest), to)))
		return false;
	if (verbs[verb].figure_max > 0 &&
	    !parse_figure(strtok_r(NULL, blanks, &rest), verbs[verb].figure_max, &figure))
		return false;
	if (strtok_r(NULL, blanks, &rest))
		return false;
	if (really)
		apply(lan, verb, from, to, figure, answer);
	return true;
}

/* All commands of a message, a line each: first whether they are right, then what they say. */
static bool commands(struct lan *lan, const char *message, bool really, FILE *answer)
{
	char *copy = strdup(message), *rest = copy, *line;
	bool right = copy != NULL;

	while (right && (line = strsep(&rest, "\n"))) {
		const char *told = message + (line - copy);

		right = command(lan, line, really, answer);
		if (!right)
			fprintf(answer, "error: not understood: %.*s\n", (int)strcspn(told, "\n"), told);
	}
	free(copy);
	return right;
}

static void on_client(struct lan *lan, int fd)
{
	char message[MESSAGE_BYTES + 1], *text = NULL;
	size_t size = 0;
	ssize_t got = recv(fd, message, MESSAGE_BYTES, 0);
	FILE *answer = got > 0 ? open_memstream(&text, &size) : NULL;

	if (answer) {
		message[got] = '\0';
		if (commands(lan, message, false, answer))
			commands(lan, message, true, answer);
		fclose(answer);
		if (send(fd, text, size, MSG_NOSIGNAL) < 0)
			fprintf(stderr, "lab-switch: an answer was not sent: %s\n", strerror(errno));
	}
	free(text);
	close(fd);
}

/* ---- serving ---- */

static void watch(struct lan *lan, int fd, unsigned what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = what};

	if (epoll_ctl(lan->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll: %s", strerror(errno));
}

static void on_event(struct lan *lan, unsigned what)
{
	int fd;

	if (what <= HOSTS_MAX) {
		on_frames(lan, what);
	} else if (what == EVENT_TIMER) {
		on_timer(lan);
	} else if (what > EVENT_CLIENT) {
		on_client(lan, (int)(what - EVENT_CLIENT));
	} else {
		fd = accept4(lan->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			watch(lan, fd, EVENT_CLIENT + (unsigned)fd);
	}
}

static void serve(struct lan *lan)
{
	struct epoll_event events[64];

	for (;;) {
		int count = epoll_wait(lan->epoll, events, 64, -1);

		for (int i = 0; i < count; i++)
			on_event(lan, events[i].data.u32);
	}
}

/* ---- making it ---- */

/* The end of host's eth0, in the namespace this process is in. */
static int open_tap(unsigned host)
{
	struct ifreq r = {.ifr_name = "eth0"};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), inet = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || inet < 0)
		die("/dev/net/tun: %s", strerror(errno));
	r.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (ioctl(fd, TUNSETIFF, &r) < 0)
		die("no TAP device: %s", strerror(errno));
	if (ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0)
		die("TUNSETOFFLOAD: %s", strerror(errno));
	memset(&r.ifr_hwaddr, 0, sizeof r.ifr_hwaddr);
	r.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	r.ifr_hwaddr.sa_data[0] = 2;
	r.ifr_hwaddr.sa_data[5] = (char)host;
	if (ioctl(inet, SIOCSIFHWADDR, &r) < 0)
		die("no MAC address for host %u: %s", host, strerror(errno));
	close(inet);
	return fd;
}

static void make_host(struct lan *lan, unsigned host)
{
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		die("no network namespace: %s", strerror(errno));
	fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || dup3(fd, (int)(NAMESPACE_FD + host), O_CLOEXEC) < 0)
		die("host %u: %s", host, strerror(errno));
	close(fd);
	lan->tap[host] = open_tap(host);
	watch(lan, lan->tap[host], host);
}

static struct sockaddr_un socket_address(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof address.sun_path)
		die("%s: too long for a socket's name", path);
	strcpy(address.sun_path, path);
	return address;
}

static void make_lan(struct lan *lan, const char *path, unsigned count)
{
	const struct sockaddr_un address = socket_address(path);
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	TAILQ_INIT(&lan->waiting);
	lan->count = count;
	lan->epoll = epoll_create1(EPOLL_CLOEXEC);
	lan->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	lan->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (home < 0 || lan->epoll < 0 || lan->timer < 0 || lan->listener < 0)
		die("%s", strerror(errno));
	if (bind(lan->listener, (const struct sockaddr *)&address, sizeof address) < 0 || listen(lan->listener, 16) < 0)
		die("%s: %s", path, strerror(errno));
	watch(lan, lan->timer, EVENT_TIMER);
	watch(lan, lan->listener, EVENT_LISTEN);
	for (unsigned host = 1; host <= count; host++)
		make_host(lan, host);
	if (setns(home, CLONE_NEWNET) < 0)
		die("the way back home: %s", strerror(errno));
	close(home);
}

/* Go on in the background; what reads our output sees its end. */
static void detach(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t child = fork();

	if (null < 0 || child < 0)
		die("%s", strerror(errno));
	if (child > 0) {
		printf("%d\n", (int)child);
		exit(0);
	}
	setsid();
	/* Hosts share the processors here, a network has its own: else fifty busy hosts leave it a fiftieth of the time that
	 * it needs, and what they see is a network that loses most of what is sent. */
	sched_setscheduler(0, SCHED_RR, &(struct sched_param){.sched_priority = 1}); /* a nice value counts in a session only */
	dup2(null, 0);
	dup2(null, 1);
	signal(SIGPIPE, SIG_IGN);
}

static int main_serve(const char *path, const char *count_text)
{
	static struct lan lan;
	int count = atoi(count_text);

	if (count < 1 || count > HOSTS_MAX)
		die("%s: 1 to %d hosts are wanted", count_text, HOSTS_MAX);
	make_lan(&lan, path, (unsigned)count);
	detach();
	serve(&lan);
	return 0;
}

/* ---- telling ---- */

static void join_lines(char message[MESSAGE_BYTES + 1], int count, char **lines)
{
	size_t size = 0;

	for (int i = 0; i < count; i++) {
		int more = snprintf(message + size, MESSAGE_BYTES + 1 - size, "%s%s", i ? "\n" : "", lines[i]);

		if ((size_t)more > MESSAGE_BYTES - size)
			die("too much at once");
		size += (size_t)more;
	}
}

static int main_tell(const char *path, int count, char **lines)
{
	static char message[MESSAGE_BYTES + 1], answer[ANSWER_BYTES];
	const struct sockaddr_un address = socket_address(path);
	const struct timeval limit = {.tv_sec = 10};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	ssize_t size;

	join_lines(message, count, lines);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0)
		die("%s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
		die("no switch at %s: %s", path, strerror(errno));
	if (send(fd, message, strlen(message), MSG_NOSIGNAL) < 0)
		die("%s: %s", path, strerror(errno));
	size = recv(fd, answer, sizeof answer, 0); /* nothing: done, without words */
	if (size < 0)
		die("no answer at %s: %s", path, strerror(errno));
	if (strncmp(answer, "error: ", 7) == 0)
		die("%.*s", (int)size - 8, answer + 7);
	return fwrite(answer, 1, (size_t)size, stdout) != (size_t)size;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "serve") == 0)
		return main_serve(argv[2], argv[3]);
	if (argc >= 4 && strcmp(argv[1], "tell") == 0)
		return main_tell(argv[2], argc - 3, argv + 3);
	fputs("usage: lab-switch serve SOCKET COUNT | lab-switch tell SOCKET COMMAND...\n", stderr);
	return 1;
}
