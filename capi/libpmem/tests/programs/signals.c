/*
 * Calls the library in signal handlers that interrupt calls of the library, in the directory of the first argument. The
 * second argument is 1 if the handler is to fork a child that calls it. Ends with 1 if a child fails; a handler that
 * waits for the call that it interrupts is ended by its alarm.
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
	pid_t id = fork();
	if (id == 0)
		_exit(pmem_is_pmem(start, LEN));
	if (id < 0 || waitpid(id, &status, 0) != id || status != 0)
		failed = 1;
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
	if (setitimer(ITIMER_PROF, &often, NULL) != 0)
		return 2;
	while (handled < 200 && !failed)
		for (int i = 0; i < 100; i++)
			if (pmem_is_pmem(start, LEN) != 0)
				return 1;
	/* No signal is left blocked. */
	if (sigprocmask(SIG_SETMASK, NULL, &after) != 0)
		return 2;
	for (int signal = 1; signal < NSIG; signal++)
		if (sigismember(&before, signal) != sigismember(&after, signal))
			return 1;
	return failed;
}
