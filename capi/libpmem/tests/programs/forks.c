/*
 * Forks children that use the library, while other threads map and unmap a file in the directory of the first argument.
 * Exits with 1 if a child fails, or waits for a thread that it lacks.
 */
#define _GNU_SOURCE
#include <libpmem.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const char path[] = "file";
static atomic_int stop;

static void use(void)
{
	size_t len;
	char *start = pmem_map_file(path, 0, 0, 0, &len, NULL);
	if (start == NULL || pmem_is_pmem(start, len) != pmem_is_pmem(start, 1) || pmem_unmap(start, len) != 0)
		exit(1);
}

static void *map_and_unmap(void *unused)
{
	while (!atomic_load(&stop))
		use();
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t threads[2];
	if (argc != 2 || chdir(argv[1]) != 0)
		return 2;
	char *inherited = pmem_map_file(path, 1 << 20, PMEM_FILE_CREATE, 0600, NULL, NULL);
	if (inherited == NULL)
		return 2;
	for (int i = 0; i < 2; i++)
		if (pthread_create(&threads[i], NULL, map_and_unmap, NULL) != 0)
			return 2;
	for (int child = 0; child < 100; child++) {
		int status;
		pid_t id = fork();
		if (id == 0) {
			alarm(60);
			use();
			inherited[child] = 7;
			if (pmem_msync(inherited, 1 << 20) != 0)
				_exit(1);
			_exit(0);
		}
		if (id < 0 || waitpid(id, &status, 0) != id || status != 0) {
			printf("child %d: %#x\n", child, (unsigned)status);
			return 1;
		}
		if (inherited[child] != 7)
			return 1;
	}
	atomic_store(&stop, 1);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
