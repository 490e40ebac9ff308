/*
 * A counter that survives crashes. Each run prints the next number.
 *
 *     cc -std=c11 counter.c $(pkg-config --cflags --libs cachemaint) -o counter
 *     ./counter /mnt/pmem/counter
 *
 * Two copies of the counter are in separate pages, each with its complement as a check. An increment writes the older
 * copy and persists it, so at any moment one of the two is intact: old or new, never a mix. It persists both copies
 * before it chooses; otherwise power loss could take the newer one while the older one is being overwritten.
 */
#include <cachemaint.h>
#include <inttypes.h>
#include <stdio.h>

/* The largest page size in bytes: whatever the granularity of the medium, the copies share no unit that a crash may
 * tear. */
#define STRIDE (64u << 10)

struct copy {
    uint64_t value;
    uint64_t check; /* ~value */
};

static struct copy *copy_at(const cachemaint_file *file, size_t number) {
    return (struct copy *)((char *)cachemaint_address(file) + number * STRIDE);
}

/* Returns the value of a copy, or 0 if it is not intact, as on a new file. */
static uint64_t value_of(const struct copy *copy) {
    return copy->check == ~copy->value ? copy->value : 0;
}

/* Persists the next value in the older copy. */
static int increment(cachemaint_file *file, uint64_t *value) {
    struct copy *first = copy_at(file, 0), *second = copy_at(file, 1);
    struct cachemaint_range both[2] = {{first, sizeof *first}, {second, sizeof *second}};
    int error = cachemaint_persist_ranges(file, both, 2); /* a killed process can have left the newer one in a cache */
    if (error)
        return error;
    int is_first_older = value_of(first) <= value_of(second);
    uint64_t next = (is_first_older ? value_of(second) : value_of(first)) + 1;
    struct copy copy = {next, ~next};
    *value = next;
    return cachemaint_persist_copy(file, is_first_older ? first : second, &copy, sizeof copy, CACHEMAINT_ANYWHERE);
}

static int failed(void) {
    fprintf(stderr, "%s\n", cachemaint_error_message());
    return 1;
}

int main(int count, char **arguments) {
    cachemaint_file *file;
    struct cachemaint_guarantee guarantee;
    uint64_t value;

    if (count != 2) {
        fprintf(stderr, "usage: counter FILE\n");
        return 2;
    }
    if (cachemaint_open(arguments[1], 2 * STRIDE, CACHEMAINT_CREATE | CACHEMAINT_ALLOW_PAGES, &file))
        return failed();
    if (increment(file, &value) || cachemaint_get_guarantee(file, &guarantee, sizeof guarantee))
        return failed();
    printf("%" PRIu64 " (persisted in units of %zu bytes: %s)\n", value, guarantee.unit, guarantee.reason);
    return cachemaint_close(file) ? failed() : 0;
}
