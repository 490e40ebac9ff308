/*
 * Cancels a thread before it maps a file. The call returns and leaves no descriptor open. The first argument is the
 * directory for the file.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <libpmem.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static size_t length;
static void *mapping;
static int drained = -1;

static int descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;
	if (directory == NULL)
		return -1;
	while (readdir(directory) != NULL)
		count++;
	closedir(directory);
	return count;
}

static void *map(void *unused)
{
	if (pthread_cancel(pthread_self()) != 0)
		return unused;
	mapping = pmem_map_file("file", 1 << 20, PMEM_FILE_CREATE, 0600, &length, NULL);
	if (mapping != NULL)
		drained = pmem_deep_drain(mapping, length);
	pthread_testcancel();
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	void *result = NULL;
	int before = descriptors();
	if (argc != 2 || chdir(argv[1]) != 0)
		return 2;
	if (pthread_create(&thread, NULL, map, NULL) != 0 || pthread_join(thread, &result) != 0)
		return 2;
	if (result != PTHREAD_CANCELED || mapping == NULL || drained != 0) {
		printf("mapped at %p, drained: %d\n", mapping, drained);
		return 1;
	}
	return pmem_unmap(mapping, length) != 0 || descriptors() != before;
}
