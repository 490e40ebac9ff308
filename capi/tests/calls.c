/* Random calls of all functions with arguments that a program can get wrong. None may end the program.
 * The usage is: calls FOLDER SEED COUNT. */
#include <cachemaint.h>

#include "check.h"

#include <stdint.h>
#include <stdlib.h>

#define FILES 3
#define LENGTH 20000u

static uint64_t state;
static cachemaint_file *files[FILES + 2];
static unsigned char memory[LENGTH];
static char paths[FILES][4096];

/* Marsaglia, "Xorshift RNGs". */
static uint64_t next(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static size_t below(size_t most) { return (size_t)(next() % most); }

static cachemaint_file *any_file(void) { return files[below(FILES + 2)]; }

static size_t any_length(void) {
    const size_t lengths[] = {0, 1, 7, 8, 63, 64, 65, 4096, LENGTH, LENGTH + 1, SIZE_MAX / 2, SIZE_MAX - 1, SIZE_MAX};
    return lengths[below(sizeof lengths / sizeof lengths[0])];
}

/* An address in a file, at its end, in other memory, or none. Functions for files check it. */
static unsigned char *any_address(void) {
    unsigned char *mapped = (unsigned char *)cachemaint_address(any_file());
    switch (below(6)) {
    case 0:
        return NULL;
    case 1:
        return memory + below(LENGTH);
    case 2:
        return mapped == NULL ? NULL : mapped + LENGTH;
    case 3:
        return (unsigned char *)(uintptr_t)UINTPTR_MAX;
    default:
        return mapped == NULL ? NULL : mapped + below(LENGTH);
    }
}

/* A valid range of memory, or one that is too long for any: cache operations cannot check anything in between. */
static unsigned char *any_memory(size_t *length) {
    size_t start = below(LENGTH);
    *length = below(4) == 0 ? SIZE_MAX - below(9) : below(LENGTH - start + 1);
    return below(8) == 0 ? NULL : memory + start;
}

static enum cachemaint_destination any_destination(void) { return (enum cachemaint_destination)below(5); }

static void open_another(void) {
    size_t place = below(FILES);
    const char *names[] = {paths[place], paths[below(FILES)], "", "/", "/dev/null", "/proc/self/mem", NULL};
    const uint64_t lengths[] = {0, 1, LENGTH, LENGTH, LENGTH, UINT64_MAX};
    cachemaint_file *file = NULL;
    unsigned flags = (unsigned)next() & (below(4) == 0 ? 0xffffu : CACHEMAINT_ALLOW_PAGES | CACHEMAINT_NO_LOCK);
    (void)!cachemaint_close(files[place]);
    if (!cachemaint_open(names[below(7)], lengths[below(6)], flags | CACHEMAINT_CREATE, below(9) ? &file : NULL) && file)
        files[place] = file;
    else if (!cachemaint_open(paths[place], 0, CACHEMAINT_ALLOW_PAGES | CACHEMAINT_NO_LOCK, &file))
        files[place] = file;
}

static int call_one(void) {
    struct cachemaint_guarantee guarantee;
    struct cachemaint_survival survival;
    struct cachemaint_host host;
    struct cachemaint_range ranges[3];
    size_t count = 0, length;
    int is_complete;
    unsigned char *start;
    for (size_t place = 0; place < 3; place++) {
        ranges[place].address = any_address();
        ranges[place].length = any_length();
    }
    switch (below(26)) {
    case 0:
    case 1:
        open_another();
        return 0;
    case 2:
        return cachemaint_get_guarantee(any_file(), below(4) ? &guarantee : NULL, below(sizeof guarantee + 1));
    case 3:
        return cachemaint_get_survival(any_file(), (enum cachemaint_stage)below(4), (enum cachemaint_event)below(5),
                                   below(4) ? &survival : NULL, below(sizeof survival + 1));
    case 4:
        return cachemaint_get_host(below(4) ? &host : NULL, below(sizeof host + 1));
    case 5:
        start = any_memory(&length);
        return cachemaint_cache_writeback(start, length) + cachemaint_cache_order_observed();
    case 6:
        start = any_memory(&length);
        return cachemaint_cache_invalidate(start, length);
    case 7:
        start = any_memory(&length);
        return cachemaint_cache_writeback_invalidate(start, length);
    case 8:
        ranges[0].address = any_memory(&ranges[0].length);
        ranges[1].address = any_memory(&ranges[1].length);
        return cachemaint_cache_writeback_ranges(below(4) ? ranges : NULL, below(3));
    case 9:
        start = any_memory(&length);
        return cachemaint_cache_copy(start, length > LENGTH ? memory : memory + below(LENGTH - length + 1), length,
                                     any_destination());
    case 10:
        start = any_memory(&length);
        return cachemaint_cache_fill(start, (unsigned char)next(), length, any_destination());
    case 11:
        return cachemaint_grow(any_file(), below(3) ? LENGTH : next());
    case 12:
        return cachemaint_fence(any_file()) + cachemaint_order_observed(any_file());
    case 13:
        return cachemaint_check(any_file());
    case 14:
        return cachemaint_bad_blocks(any_file(), below(4) ? ranges : NULL, below(4), below(4) ? &count : NULL,
                                     below(4) ? &is_complete : NULL);
    case 15:
        return cachemaint_persist_ranges(any_file(), below(4) ? ranges : NULL, below(8) ? below(4) : any_length());
    case 16:
        start = any_memory(&length);
        return cachemaint_persist_copy(any_file(), any_address(), start, length, any_destination());
    case 17:
        return cachemaint_persist_fill(any_file(), any_address(), (unsigned char)next(), any_length(),
                                       any_destination());
    case 18:
        return cachemaint_deep_persist(any_file(), any_address(), any_length());
    case 19:
        return cachemaint_issue_writeback(any_file(), any_address(), any_length());
    case 20:
        start = any_memory(&length);
        return cachemaint_issue_copy(any_file(), any_address(), start, length, any_destination());
    case 21:
        return cachemaint_issue_fill(any_file(), any_address(), (unsigned char)next(), any_length(), any_destination());
    case 22:
        return cachemaint_error_errno() + (int)strlen(cachemaint_error_message());
    default:
        return cachemaint_persist(any_file(), any_address(), any_length());
    }
}

int main(int count, char **arguments) {
    if (count != 4) {
        fprintf(stderr, "usage: calls FOLDER SEED COUNT\n");
        return 2;
    }
    state = strtoull(arguments[2], NULL, 10) * 2 + 1;
    for (size_t place = 0; place < FILES; place++) {
        snprintf(paths[place], sizeof paths[place], "%s/random-%zu", arguments[1], place);
        CHECK(cachemaint_open(paths[place], LENGTH, CACHEMAINT_CREATE | CACHEMAINT_ALLOW_PAGES, &files[place]) ==
              CACHEMAINT_OK);
    }
    /* A closed file. The last one is NULL. */
    CHECK(cachemaint_open(paths[0], LENGTH, CACHEMAINT_ALLOW_PAGES | CACHEMAINT_NO_LOCK, &files[FILES]) ==
          CACHEMAINT_OK);
    CHECK(cachemaint_close(files[FILES]) == CACHEMAINT_OK);
    for (long calls = strtol(arguments[3], NULL, 10); calls > 0; calls--)
        (void)!call_one();
    return ended("calls");
}
