/* What a client does to the objects of the mount: each act is one operation or a few that belong together, all written
 * down. */
#ifndef TESTS_HISTORY_ACTS_H
#define TESTS_HISTORY_ACTS_H

#include "client.h"

/* Make the objects, nothing written down. 0, or an errno. */
int acts_prepare(struct client *c);
/* Something by chance. */
void acts_any(struct client *c);
/* Read all, take and give back each lock. False: something could not be asked. */
bool acts_final(struct client *c);

#endif
