/* The event that LTTng-UST records: 40 bytes of payload. LTTng reads this file several times. */

#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER cachemaint_benches

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "event.h"

#if !defined(CACHEMAINT_BENCHES_EVENT_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define CACHEMAINT_BENCHES_EVENT_H

#include <stdint.h>

#include <lttng/tracepoint.h>

LTTNG_UST_TRACEPOINT_EVENT(
	cachemaint_benches, event,
	LTTNG_UST_TP_ARGS(uint64_t, number, const uint8_t *, bytes),
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_integer(uint64_t, number, number)
		lttng_ust_field_array(uint8_t, bytes, bytes, 32)
	)
)

#endif

#include <lttng/tracepoint-event.h>
