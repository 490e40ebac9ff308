/* A tracepoint provider as LTTng-UST's users write theirs, and the timed loop. */

#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "event.h"

/* Returns nonzero if a session records the event. */
int enabled(void)
{
	return lttng_ust_tracepoint_enabled(cachemaint_benches, event) != 0;
}

/* Records the event this many times; the first is numbered `first`. */
void record(uint64_t first, uint64_t events, const uint8_t *bytes)
{
	for (uint64_t number = first; number != first + events; number++)
		lttng_ust_tracepoint(cachemaint_benches, event, number, bytes);
}
