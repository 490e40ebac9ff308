/*
 * A program that only records events for LTTng-UST. Each line of input is a number of events to record. It answers with
 * the total number of recorded events.
 */

#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "tracepoints.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void record(uint64_t number)
{
    /* Odd, so no two numbers have the same product. Plus one, so that bytes shifted by one do not match an event. */
    lttng_ust_tracepoint(lab, event, number, (number + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

int main(void)
{
    char line[64];
    uint64_t recorded = 0;

    while (fgets(line, sizeof line, stdin)) {
        uint64_t end = recorded + strtoull(line, NULL, 10);
        while (recorded < end)
            record(recorded++);
        printf("%" PRIu64 "\n", recorded);
        fflush(stdout);
    }
    return 0;
}
