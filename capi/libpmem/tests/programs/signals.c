/*
 * Calls the library in signal handlers that interrupt its calls, in the directory of the first argument. If the second
 * argument is 1, the handler forks a child that calls the library. Exits with 1 if a child fails. An alarm ends a
 * handler or a child that waits for the interrupted call.
 */
#define _GNU_SOURCE
#include <libpmem.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEN ((size_t)1 << 20)

static char *start;
static int forks;
static volatile sig_atomic_t handled, failed;
static volatile pid_t child;

/* A child may have blocked all other signals. */
static void end(int signal)
{
	(void)signal;
	if (child > 0)
		kill(child, SIGKILL);
	_exit(1);
}

/* Maps and unmaps a file in a child, where no thread continues the parent's call. */
static int map_in_child(void)
{
	char *mapped = pmem_map_file("childs", 4096, PMEM_FILE_CREATE, 0600, NULL, NULL);
	return pmem_is_pmem(start, LEN) != 0 || mapped == NULL || pmem_unmap(mapped, 4096) != 0;
}

static void use(int signal)
{
	(void)signal;
	handled++;
	pmem_persist(start, 64);
	if (pmem_is_pmem(start, LEN) != 0 || pmem_deep_drain(start, 1) != 0)
		failed = 1;
	if (!forks)
		return;
	int status;
	child = fork();
	if (child == 0)
		_exit(map_in_child());
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
		failed = 1;
	child = 0;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = use};
	struct itimerval often = {{0, 500}, {0, 500}};
	sigset_t before, after;
	if (argc != 3 || chdir(argv[1]) != 0)
		return 2;
	forks = atoi(argv[2]);
	start = pmem_map_file("file", LEN, PMEM_FILE_CREATE, 0600, NULL, NULL);
	if (start == NULL || sigaction(SIGPROF, &action, NULL) != 0 || sigprocmask(SIG_SETMASK, NULL, &before) != 0)
		return 2;
	alarm(120);
	if (signal(SIGALRM, end) == SIG_ERR || setitimer(ITIMER_PROF, &often, NULL) != 0)
		return 2;
	while (handled < 200 && !failed)
		for (int i = 0; i < 100; i++)
			if (pmem_is_pmem(start, LEN) != 0)
				return 1;
	/* No signal remains blocked. */
	if (sigprocmask(SIG_SETMASK, NULL, &after) != 0)
		return 2;
	for (int signal = 1; signal < NSIG; signal++)
		if (sigismember(&before, signal) != sigismember(&after, signal))
			return 1;
	return failed;
}
