/*
 * Replaces a file by renaming, but forgets to sync the directory, so the new name may be lost. Compiled with -DRIGHT,
 * it does not forget.
 *
 *     forgotten_fsync update     50 updates; prints each one that it acknowledges
 *     forgotten_fsync check      exit code 0 if the file is whole, and not older than the last acknowledged update
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Each word contains the number, so a partial file can be told from a complete one. */
enum { WORDS = 2048 };

static int sync_of(const char *path, int flags)
{
	int file = open(path, flags);
	return file < 0 || fsync(file) || close(file);
}

static int update(unsigned number)
{
	unsigned words[WORDS];
	for (int word = 0; word < WORDS; word++)
		words[word] = number;
	FILE *file = fopen("state.new", "w");
	if (!file || fwrite(words, sizeof words, 1, file) != 1 || fclose(file))
		return 1;
	if (sync_of("state.new", O_RDWR) || rename("state.new", "state"))
		return 1;
#ifdef RIGHT
	if (sync_of(".", O_RDONLY))
		return 1;
#endif
	printf("%u\n", number);
	return fflush(stdout);
}

/* Returns the last number that the program printed before the power was cut. */
static unsigned last_printed(void)
{
	unsigned number = 0;
	const char *path = getenv("PRINTED");
	FILE *printed = path ? fopen(path, "r") : NULL;
	while (printed && fscanf(printed, "%u", &number) == 1)
		;
	return number;
}

static int check(unsigned acknowledged)
{
	unsigned words[WORDS] = {0};
	FILE *file = fopen("state", "r");
	if (!file && !acknowledged)
		return 0;
	if (!file || fread(words, sizeof words, 1, file) != 1)
		return printf("update %u was acknowledged, and the file is not there\n", acknowledged), 1;
	for (int word = 1; word < WORDS; word++)
		if (words[word] != words[0])
			return printf("the file has parts of updates %u and %u\n", words[0], words[word]), 1;
	if (words[0] < acknowledged)
		return printf("update %u was acknowledged, the file has update %u\n", acknowledged, words[0]), 1;
	return 0;
}

int main(int count, char **arguments)
{
	if (count > 1 && !strcmp(arguments[1], "check"))
		return check(last_printed());
	for (unsigned number = 1; number <= 50; number++)
		if (update(number))
			return perror("state"), 2;
	return 0;
}
