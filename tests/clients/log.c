/*
 * Records in a log of libpmemlog in the working directory.
 *
 *     log create          makes the log
 *     log append COUNT    appends COUNT records; prints the number of each one that is acknowledged
 *     log killed COUNT    does the same without an end, and is killed after COUNT of them
 *     log check           exit code 0 if the log has whole records by number, and all acknowledged ones
 *
 * The length and the bytes of a record follow from its number.
 */
#include "acknowledged.h"

#include <string.h>

#include <libpmemlog.h>

#define LOG "log.pool"
#define LOG_LEN (16u << 20)

enum { NUMBER = sizeof(uint64_t), LONGEST = 700 };

static size_t record(uint64_t number, unsigned char *bytes)
{
	size_t len = NUMBER + number * 37 % (LONGEST - NUMBER);
	memcpy(bytes, &number, NUMBER);
	for (size_t at = NUMBER; at < len; at++)
		bytes[at] = (unsigned char)(number + at);
	return len;
}

/* The number of whole records from the beginning, and 1 if other bytes follow. */
struct found { uint64_t records; int is_damaged; };

static int read_log(const void *log, size_t len, void *result)
{
	struct found *found = result;
	unsigned char expected[LONGEST];
	for (size_t at = 0; at < len; found->records++) {
		size_t next = record(found->records + 1, expected);
		if (next > len - at || memcmp((const char *)log + at, expected, next))
			return found->is_damaged = 1, 0;
		at += next;
	}
	return 0;
}

static struct found found_in(PMEMlogpool *log)
{
	struct found found = { 0, 0 };
	pmemlog_walk(log, 0, read_log, &found);
	return found;
}

static int check(PMEMlogpool *log, uint64_t acknowledged)
{
	struct found found = found_in(log);
	if (found.is_damaged)
		return printf("record %" PRIu64 " is damaged\n", found.records + 1), 1;
	if (found.records < acknowledged)
		return printf("record %" PRIu64 " was acknowledged, the last one is %" PRIu64 "\n", acknowledged,
			found.records), 1;
	return 0;
}

static int append(PMEMlogpool *log, uint64_t count)
{
	unsigned char bytes[LONGEST];
	for (uint64_t number = found_in(log).records + 1; count--; number++) {
		if (pmemlog_append(log, bytes, record(number, bytes)))
			return fprintf(stderr, "record %" PRIu64 ": %s\n", number, pmemlog_errormsg()), 1;
		acknowledge(number);
	}
	return 0;
}

int main(int arguments, char **argument)
{
	const char *mode = arguments > 1 ? argument[1] : "";
	uint64_t count = arguments > 2 ? strtoull(argument[2], NULL, 10) : 0;
	int is_killed = !strcmp(mode, "killed");
	if (is_killed)
		go_on_in_child(count);
	PMEMlogpool *log = strcmp(mode, "create") ? pmemlog_open(LOG) : pmemlog_create(LOG, LOG_LEN, 0600);
	if (!log)
		return fprintf(stderr, "cannot open the log: %s\n", pmemlog_errormsg()), 2;
	int failed = !strcmp(mode, "check") ? check(log, last_printed()) : append(log, is_killed ? UINT64_MAX : count);
	pmemlog_close(log);
	return failed;
}
