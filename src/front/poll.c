/* poll(2): POLLIN tells of a change since this handle last read. */

#include "front/machine_class.h"

#include <poll.h>

static unsigned events_of(const struct handle *h)
{
	if (h->lost)
		return POLLERR | POLLHUP;
	return POLLOUT | POLLWRNORM | (h->changed ? POLLIN | POLLRDNORM : 0);
}

/* With a poll handle the kernel waits for a notification; it replaces the one before. */
void files_poll(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, struct fuse_pollhandle *poll)
{
	struct handle *h = handle_of(fi);

	(void)node;
	if (poll) {
		if (h->poll)
			fuse_pollhandle_destroy(h->poll);
		h->poll = poll;
	}
	fuse_reply_poll(req, events_of(h));
}
