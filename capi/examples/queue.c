/*
 * A queue of records that survives crashes. It keeps the newest 256.
 *
 *     queue FILE push COUNT      appends records, and prints the number of each when it is persistent
 *     queue FILE check           checks all records; PRINTED names a file with printed numbers, which must be there
 *
 * A record is persisted first, and then the count that publishes it. A crash therefore leaves the old count, or the new
 * one with a complete record.
 */
#include <cachemaint.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS 256u
#define WORDS 15u

struct record {
    uint64_t number;
    uint64_t payload[WORDS];
};

/* The parts are in separate pages. */
struct queue {
    _Atomic uint64_t count;
    char unused[(64u << 10) - sizeof(uint64_t)];
    struct record records[RECORDS];
};

static uint64_t payload(uint64_t number, uint64_t word) { return (number + 1) * 0x9e3779b97f4a7c15u + word; }

static int push(cachemaint_file *file, struct queue *queue) {
    uint64_t number = atomic_load(&queue->count);
    struct record record = {number, {0}};
    for (uint64_t word = 0; word < WORDS; word++)
        record.payload[word] = payload(number, word);
    if (cachemaint_persist_copy(file, &queue->records[number % RECORDS], &record, sizeof record, CACHEMAINT_ANYWHERE))
        return 1;
    atomic_store(&queue->count, number + 1);
    if (cachemaint_persist(file, &queue->count, sizeof queue->count))
        return 1;
    return printf("%" PRIu64 "\n", number) < 0 || fflush(stdout) != 0;
}

/* Returns 0 if all published records are intact. A crash can have damaged the oldest one, which a push overwrites. */
static int check(const struct queue *queue, uint64_t printed) {
    uint64_t count = atomic_load(&queue->count);
    uint64_t number = count < RECORDS ? 0 : count - RECORDS + 1;
    if (count < printed) {
        printf("%" PRIu64 " records, and %" PRIu64 " were printed\n", count, printed);
        return 1;
    }
    for (; number < count; number++) {
        const struct record *record = &queue->records[number % RECORDS];
        int is_whole = record->number == number;
        for (uint64_t word = 0; word < WORDS; word++)
            is_whole &= record->payload[word] == payload(number, word);
        if (!is_whole) {
            printf("record %" PRIu64 " is damaged\n", number);
            return 1;
        }
    }
    return 0;
}

/* Returns the number of lines in the file named by PRINTED. */
static uint64_t printed_records(void) {
    const char *path = getenv("PRINTED");
    FILE *lines = path == NULL ? NULL : fopen(path, "r");
    uint64_t count = 0;
    if (lines == NULL)
        return 0;
    for (int letter = getc(lines); letter != EOF; letter = getc(lines))
        count += letter == '\n';
    fclose(lines);
    return count;
}

static int run(cachemaint_file *file, int count, char **arguments) {
    struct queue *queue = cachemaint_address(file);
    /* A killed process can have left stores in the caches. */
    if (cachemaint_persist(file, queue, sizeof *queue))
        return 1;
    if (count == 3)
        return check(queue, printed_records());
    for (unsigned long number = strtoul(arguments[3], NULL, 10); number > 0; number--) {
        if (push(file, queue))
            return 1;
    }
    return 0;
}

int main(int count, char **arguments) {
    cachemaint_file *file;
    int error;
    if ((count != 4 || strcmp(arguments[2], "push") != 0) && (count != 3 || strcmp(arguments[2], "check") != 0)) {
        fprintf(stderr, "usage: queue FILE push COUNT | queue FILE check\n");
        return 2;
    }
    error = cachemaint_open(arguments[1], sizeof(struct queue), CACHEMAINT_CREATE | CACHEMAINT_ALLOW_PAGES, &file) ||
            run(file, count, arguments);
    if (error && strlen(cachemaint_error_message()) > 0)
        fprintf(stderr, "%s\n", cachemaint_error_message());
    return cachemaint_close(file) != CACHEMAINT_OK || error;
}
