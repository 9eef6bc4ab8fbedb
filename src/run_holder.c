/* The only process of `coordfs run` that makes calls to the mount while the command runs. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "coordfs/coordfs.h"
#include "run.h"

#define ASK_MS_MIN 20
#define ASK_MS_MAX 10000
#define ASK_PER_LEASE 4 /* of what is left */

/* What is left counts from before it was asked for. False: nothing is. */
static bool ask(int fd, struct run_news *news, uint64_t *left_ms)
{
	uint64_t asked_ms = run_now_ms();
	struct coordfs_lease lease;

	while (ioctl(fd, COORDFS_IOC_LEASE, &lease) < 0)
		if (errno != EINTR)
			return false;
	*left_ms = lease.left_ms;
	news->until_ms = lease.left_ms == COORDFS_LEASE_UNLIMITED ? UINT64_MAX : asked_ms + lease.left_ms;
	news->margin_ms = lease.margin_ms;
	return true;
}

static int pause_ms(uint64_t left_ms)
{
	uint64_t ms = left_ms / ASK_PER_LEASE;

	return (int)(ms < ASK_MS_MIN ? ASK_MS_MIN : ms > ASK_MS_MAX ? ASK_MS_MAX : ms);
}

static void tell(int out, const struct run_news *news)
{
	if (write(out, news, sizeof *news) != sizeof *news)
		_exit(0); /* nobody listens: it is over */
}

/* poll(2) tells of the loss of just this handle, at once; the ioctl, until when. */
void run_holder(int fd, int out)
{
	struct pollfd files[2] = {{.fd = fd}, {.fd = out}};
	struct run_news news = {.lost = false};
	uint64_t left_ms;

	while (ask(fd, &news, &left_ms)) {
		tell(out, &news);
		if (poll(files, 2, pause_ms(left_ms)) < 0)
			continue;
		if (files[1].revents)
			_exit(0);
		if (files[0].revents)
			break;
	}
	news.lost = true;
	tell(out, &news);
	_exit(0);
}
