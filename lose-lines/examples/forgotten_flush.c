/*
 * Updates records in a file of persistent memory, but forgets to write the record back before the word that names it.
 * Compiled with -DRIGHT, it does not forget.
 *
 *     forgotten_flush update     100 updates; prints each one that it acknowledges
 *     forgotten_flush check      exit code 0 if the newest record is whole, and not older than the last acknowledged one
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct line { _Alignas(64) volatile uint64_t words[8]; };

/* The newest number, and its record; the previous record stays until then. */
struct file { struct line newest, records[2]; };

static void write_back(struct line *line)
{
	__asm__ volatile("clflushopt %0" : "+m"(*line));
}

static void fence(void)
{
	__asm__ volatile("sfence" ::: "memory");
}

static void update(struct file *file, uint64_t number)
{
	struct line *record = &file->records[number % 2];
	for (int word = 0; word < 8; word++)
		record->words[word] = number;
#ifdef RIGHT
	write_back(record);
#endif
	fence();
	file->newest.words[0] = number;
	write_back(&file->newest);
	fence();
}

static int check(const struct file *file, uint64_t acknowledged)
{
	uint64_t newest = file->newest.words[0];
	if (newest < acknowledged)
		return printf("update %lu was acknowledged, the newest is %lu\n", acknowledged, newest), 1;
	for (int word = 0; newest && word < 8; word++) {
		uint64_t found = file->records[newest % 2].words[word];
		if (found != newest)
			return printf("record %lu is the newest, its word %d is of %lu\n", newest, word, found), 1;
	}
	return 0;
}

/* Returns the last number that the program printed before the power was cut. */
static uint64_t last_printed(void)
{
	uint64_t number = 0;
	const char *path = getenv("PRINTED");
	FILE *printed = path ? fopen(path, "r") : NULL;
	while (printed && fscanf(printed, "%lu", &number) == 1)
		;
	return number;
}

int main(int count, char **arguments)
{
	int opened = open("records", O_RDWR | O_CREAT, 0600);
	if (opened < 0 || ftruncate(opened, sizeof(struct file)))
		return perror("records"), 2;
	struct file *file = mmap(NULL, sizeof *file, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE | MAP_SYNC, opened, 0);
	if (file == MAP_FAILED)
		return perror("records: not on a DAX file system"), 2;
	if (count > 1 && !strcmp(arguments[1], "check"))
		return check(file, last_printed());
	for (uint64_t number = 1; number <= 100; number++) {
		update(file, number);
		printf("%lu\n", number);
	}
	return 0;
}
