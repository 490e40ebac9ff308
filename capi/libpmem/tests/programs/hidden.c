/*
 * Loads the library where /proc is hidden, as in a chroot, and maps a file in the directory of the first argument.
 * LD_LIBRARY_PATH has the library. Prints a line if this user cannot hide /proc.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <libpmem.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	void *(*map_file)(const char *, size_t, int, mode_t, size_t *, int *);
	const char *(*errormsg)(void);
	if (argc != 2 || chdir(argv[1]) != 0)
		return 2;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 || mount("none", "/proc", "tmpfs", 0, NULL) != 0) {
		printf("nothing can be hidden\n");
		return 0;
	}
	void *library = dlopen("libpmem.so.1", RTLD_NOW);
	if (library == NULL)
		return 2;
	*(void **)&map_file = dlsym(library, "pmem_map_file");
	*(void **)&errormsg = dlsym(library, "pmem_errormsg");
	if (map_file == NULL || errormsg == NULL)
		return 2;
	if (map_file("file", 4096, PMEM_FILE_CREATE, 0600, NULL, NULL) != NULL)
		return 0;
	fprintf(stderr, "%s\n", errormsg());
	return 1;
}
