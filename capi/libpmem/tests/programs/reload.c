/*
 * Loads and unloads the library repeatedly, as plug-ins are, and forks. No handler of the library may remain. The first
 * argument is the directory for a file.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <libpmem.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Calls a function that keeps a message for the thread, maps a file, and unloads the library. */
static int use(void)
{
	void *(*map_file)(const char *, size_t, int, mode_t, size_t *, int *);
	const char *(*errormsg)(void);
	void *library = dlopen("libpmem.so.1", RTLD_NOW | RTLD_LOCAL);
	if (library == NULL)
		return 0;
	*(void **)&map_file = dlsym(library, "pmem_map_file");
	*(void **)&errormsg = dlsym(library, "pmem_errormsg");
	if (map_file == NULL || errormsg == NULL || errormsg()[0] != 0 ||
	    map_file(NULL, 0, 0, 0, NULL, NULL) != NULL || errormsg()[0] == 0 ||
	    map_file("file", 4096, PMEM_FILE_CREATE, 0600, NULL, NULL) == NULL)
		return 0;
	return dlclose(library) == 0;
}

int main(int argc, char **argv)
{
	if (argc != 2 || chdir(argv[1]) != 0)
		return 2;
	for (int i = 0; i < 20; i++) {
		int status;
		if (!use()) {
			printf("load %d: %s\n", i, dlerror());
			return 1;
		}
		if (dlopen("libpmem.so.1", RTLD_NOW | RTLD_NOLOAD) != NULL) {
			printf("load %d: it stays loaded\n", i);
			return 1;
		}
		pid_t id = fork();
		if (id == 0)
			_exit(0);
		if (id < 0 || waitpid(id, &status, 0) != id || status != 0)
			return 1;
	}
	return 0;
}
