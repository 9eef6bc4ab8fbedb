/* Room: front, its own files only: a timer of the front's loop, whose data is the front. */
#ifndef COORDFS_FRONT_TIMER_H
#define COORDFS_FRONT_TIMER_H

#include <stdlib.h>

#include "front/front.h"

/* Not started. NULL: no memory. End it with timer_end while the loop still runs. */
static inline uv_timer_t *timer_new(struct front *f)
{
	uv_timer_t *timer = malloc(sizeof *timer);

	if (!timer)
		return NULL;
	uv_timer_init(f->loop, timer);
	timer->data = f;
	return timer;
}

static inline void timer_on_closed(uv_handle_t *timer)
{
	free(timer);
}

/* The timer is taken: *timer is NULL from then on. NULL is fine. */
static inline void timer_end(uv_timer_t **timer)
{
	if (*timer)
		uv_close((uv_handle_t *)*timer, timer_on_closed);
	*timer = NULL;
}

#endif
