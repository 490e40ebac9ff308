/*
 * Calls the library in a signal handler between every two instructions of a call, while another thread changes the list
 * of mappings. For x86-64 only. An alarm ends a handler that waits for the call that it interrupts.
 */
#define _GNU_SOURCE
#include <libpmem.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
/* An address that is never mapped. */
#define UNUSED ((void *)(1UL << 40))

static volatile sig_atomic_t handled, failed;
static volatile int done;

static void use(int signal)
{
	(void)signal;
	handled++;
	if (pmem_is_pmem(UNUSED, PAGE) != 0)
		failed = 1;
}

static void *change(void *unused)
{
	while (!done)
		if (pmem_unmap(UNUSED, PAGE) != 0)
			failed = 1;
	return unused;
}

int main(void)
{
	struct sigaction action;
	pthread_t other;
	memset(&action, 0, sizeof action);
	action.sa_handler = use;
	if (sigaction(SIGTRAP, &action, NULL) != 0)
		return 1;
	/* Resolves the function before the steps, since handlers must not take the loader's lock. */
	pmem_is_pmem(UNUSED, PAGE);
	alarm(60);
	if (pthread_create(&other, NULL, change, NULL) != 0)
		return 1;
	for (int i = 0; i < 50; i++) {
		/* The trap flag (Intel SDM vol. 1, 3.4.3.3), below the red zone. */
		__asm__ volatile("sub $128, %%rsp; pushf; orq $0x100, (%%rsp); popf; add $128, %%rsp" ::: "memory", "cc");
		pmem_is_pmem(UNUSED, PAGE);
		__asm__ volatile("sub $128, %%rsp; pushf; andq $~0x100, (%%rsp); popf; add $128, %%rsp" ::: "memory", "cc");
	}
	done = 1;
	if (pthread_join(other, NULL) != 0 || handled < 50)
		return 1;
	return failed;
}
