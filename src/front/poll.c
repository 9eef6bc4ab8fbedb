/* poll(2): POLLIN tells of a change since this handle last read. */

#include "front/machine_class.h"

#include <poll.h>

#include "front/poll.h"

static unsigned events_of(const struct handle *h)
{
	if (h->lost)
		return POLLERR | POLLHUP;
	return POLLOUT | POLLWRNORM | (h->changed ? POLLIN | POLLRDNORM : 0);
}

void files_poll(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, struct fuse_pollhandle *poll)
{
	struct handle *h = handle_of(fi);

	(void)node;
	poll_keep(&h->poll, poll);
	fuse_reply_poll(req, events_of(h));
}
