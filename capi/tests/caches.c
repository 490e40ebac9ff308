/* The calls of a program that shares memory with a device. */
#include <cachemaint.h>

#include "check.h"

#include <stdint.h>

static unsigned char buffer[8192], model[8192];

/* A machine without such instructions refuses all operations with the same reason. */
static void every_operation_is_refused_with_the_reason(void) {
    struct cachemaint_range range = {buffer, sizeof buffer};
    REFUSED(cachemaint_cache_writeback(buffer, 1), CACHEMAINT_UNSUPPORTED);
    REFUSED(cachemaint_cache_invalidate(buffer, 1), CACHEMAINT_UNSUPPORTED);
    REFUSED(cachemaint_cache_writeback_invalidate(buffer, 1), CACHEMAINT_UNSUPPORTED);
    REFUSED(cachemaint_cache_writeback_ranges(&range, 1), CACHEMAINT_UNSUPPORTED);
    REFUSED(cachemaint_cache_order_observed(), CACHEMAINT_UNSUPPORTED);
    REFUSED(cachemaint_cache_copy(buffer, model, 1, CACHEMAINT_ANYWHERE), CACHEMAINT_UNSUPPORTED);
    REFUSED(cachemaint_cache_fill(buffer, 1, 1, CACHEMAINT_ANYWHERE), CACHEMAINT_UNSUPPORTED);
}

static void the_instructions_are_named(const struct cachemaint_host *host) {
    CHECK(host->line_size >= 16 && (host->line_size & (host->line_size - 1)) == 0);
    CHECK(host->granule >= host->line_size);
    CHECK(strlen(host->writeback) > 0 && strlen(host->writeback_fence) > 0);
    CHECK(strlen(host->invalidate) > 0 && strlen(host->invalidate_fence) > 0);
    CHECK((host->persist == NULL) == (host->persist_refused != NULL));
}

static void bytes_are_the_same_after_every_operation(void) {
    struct cachemaint_range ranges[2];
    for (size_t at = 0; at < sizeof model; at++)
        model[at] = (unsigned char)(at * 3 + 1);
    DONE(cachemaint_cache_copy(buffer, model, sizeof buffer, CACHEMAINT_COLD));
    CHECK(memcmp(buffer, model, sizeof buffer) == 0);
    memmove(model + 10, model, 5000);
    DONE(cachemaint_cache_copy(buffer + 10, buffer, 5000, CACHEMAINT_ANYWHERE));
    CHECK(memcmp(buffer, model, sizeof buffer) == 0);
    memset(model + 100, 9, 200);
    DONE(cachemaint_cache_fill(buffer + 100, 9, 200, CACHEMAINT_CACHED));
    DONE(cachemaint_cache_order_observed());
    DONE(cachemaint_cache_writeback(buffer, sizeof buffer));
    DONE(cachemaint_cache_invalidate(buffer, sizeof buffer));
    DONE(cachemaint_cache_writeback_invalidate(buffer + 1, 77));
    ranges[0].address = buffer;
    ranges[0].length = 1;
    ranges[1].address = buffer + 4096;
    ranges[1].length = 4096;
    DONE(cachemaint_cache_writeback_ranges(ranges, 2));
    DONE(cachemaint_cache_writeback_ranges(NULL, 0));
    CHECK(memcmp(buffer, model, sizeof buffer) == 0);
}

static void a_range_that_cannot_be_is_refused(void) {
    struct cachemaint_range ranges[2] = {{buffer, 1}, {buffer, SIZE_MAX}};
    REFUSED(cachemaint_cache_writeback(NULL, 1), CACHEMAINT_INVALID_ARGUMENT);
    REFUSED(cachemaint_cache_writeback(buffer, SIZE_MAX), CACHEMAINT_OUT_OF_RANGE);
    REFUSED(cachemaint_cache_invalidate(buffer, SIZE_MAX / 2 + 1), CACHEMAINT_OUT_OF_RANGE);
    /* An empty std::vector has such a pointer. */
    DONE(cachemaint_cache_writeback(NULL, 0));
    DONE(cachemaint_cache_invalidate(NULL, 0));
    DONE(cachemaint_cache_writeback_invalidate(NULL, 0));
    DONE(cachemaint_cache_copy(NULL, NULL, 0, CACHEMAINT_ANYWHERE));
    DONE(cachemaint_cache_fill(NULL, 0, 0, CACHEMAINT_ANYWHERE));
    REFUSED(cachemaint_cache_writeback_invalidate(NULL, 1), CACHEMAINT_INVALID_ARGUMENT);
    REFUSED(cachemaint_cache_writeback_ranges(ranges, 2), CACHEMAINT_OUT_OF_RANGE);
    REFUSED(cachemaint_cache_copy(buffer, NULL, 1, CACHEMAINT_ANYWHERE), CACHEMAINT_INVALID_ARGUMENT);
    REFUSED(cachemaint_cache_copy(buffer, model, SIZE_MAX, CACHEMAINT_ANYWHERE), CACHEMAINT_OUT_OF_RANGE);
    REFUSED(cachemaint_cache_fill(NULL, 0, 1, CACHEMAINT_ANYWHERE), CACHEMAINT_INVALID_ARGUMENT);
}

int main(void) {
    struct cachemaint_host host;
    a_range_that_cannot_be_is_refused();
    CHECK(cachemaint_get_host(NULL, sizeof host) != CACHEMAINT_OK);
    if (cachemaint_get_host(&host, sizeof host) == CACHEMAINT_OK) {
        the_instructions_are_named(&host);
        bytes_are_the_same_after_every_operation();
    } else {
        every_operation_is_refused_with_the_reason();
    }
    return ended("caches");
}
