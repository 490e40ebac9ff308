/*
 * Forks while another thread maps a file: at each allocation of that call, and once while the thread holds a lock that
 * the fork waits for. The first argument is the directory for the files. The second one is 1 if the fork handlers are
 * registered after the library was loaded, and 0 if before. An alarm ends a fork or a child that waits forever.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* The lock of the program and of its allocator. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Posted when a fork is wanted, when one has begun, and when its child has exited. */
static sem_t to_fork, forking, forked;
static __thread int forks_at_allocations;
static int has_ended;

static void *(*map_file)(const char *, size_t, int, mode_t, size_t *, int *);
static int (*unmap)(void *, size_t);
static int (*is_pmem)(const void *, size_t);

void *__libc_malloc(size_t len);

static void before_fork(void)
{
	sem_post(&forking);
	pthread_mutex_lock(&lock);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&lock);
}

static void begin_fork(void)
{
	sem_post(&to_fork);
	sem_wait(&forking);
}

/* Replaces the function of the C library: no fork may find this allocator in the middle of a change. */
void *malloc(size_t len)
{
	if (!forks_at_allocations)
		return __libc_malloc(len);
	begin_fork();
	/* Waits for the fork if it holds the lock. */
	pthread_mutex_lock(&lock);
	void *allocated = __libc_malloc(len);
	pthread_mutex_unlock(&lock);
	sem_wait(&forked);
	return allocated;
}

static void use(const char *path)
{
	size_t len;
	char *start = map_file(path, 4096, 1, 0600, &len, NULL);
	if (start == NULL || is_pmem(start, len) != is_pmem(start, 1) || unmap(start, len) != 0)
		_exit(1);
}

static void *map_while_forks_begin(void *unused)
{
	forks_at_allocations = 1;
	use("threads");
	forks_at_allocations = 0;
	pthread_mutex_lock(&lock);
	begin_fork();
	use("threads");
	pthread_mutex_unlock(&lock);
	has_ended = 1;
	sem_post(&to_fork);
	return unused;
}

static int fork_child(void)
{
	int status;
	pid_t id = fork();
	if (id == 0) {
		alarm(30);
		use("childs");
		_exit(0);
	}
	return id > 0 && waitpid(id, &status, 0) == id && status == 0;
}

static int load(void)
{
	void *library = dlopen("libpmem.so.1", RTLD_NOW);
	if (library == NULL)
		return 0;
	*(void **)&map_file = dlsym(library, "pmem_map_file");
	*(void **)&unmap = dlsym(library, "pmem_unmap");
	*(void **)&is_pmem = dlsym(library, "pmem_is_pmem");
	return map_file != NULL && unmap != NULL && is_pmem != NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int forks = 0;
	if (argc != 3 || chdir(argv[1]) != 0 || sem_init(&to_fork, 0, 0) != 0 || sem_init(&forking, 0, 0) != 0 ||
	    sem_init(&forked, 0, 0) != 0)
		return 2;
	int is_after = atoi(argv[2]);
	if ((is_after && !load()) || pthread_atfork(before_fork, after_fork, after_fork) != 0 || (!is_after && !load()))
		return 2;
	alarm(60);
	if (pthread_create(&thread, NULL, map_while_forks_begin, NULL) != 0)
		return 2;
	for (sem_wait(&to_fork); !has_ended; sem_wait(&to_fork), forks++)
		if (!fork_child() || sem_post(&forked) != 0)
			return 1;
	/* A mapping that is not persistent changes no list and may allocate nothing. */
	return forks < 1 || pthread_join(thread, NULL) != 0;
}
