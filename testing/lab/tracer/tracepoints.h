/* The events of the traced program. LTTng-UST reads this file several times (lttng-ust(3)). */

#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER lab

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./tracepoints.h"

#if !defined(TRACEPOINTS_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define TRACEPOINTS_H

#include <lttng/tracepoint.h>
#include <stdint.h>

/* `check` distinguishes a torn event from a recorded one. */
LTTNG_UST_TRACEPOINT_EVENT(lab, event,
    LTTNG_UST_TP_ARGS(uint64_t, number, uint64_t, check),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_integer(uint64_t, number, number)
        lttng_ust_field_integer(uint64_t, check, check)))

#endif

#include <lttng/tracepoint-event.h>
