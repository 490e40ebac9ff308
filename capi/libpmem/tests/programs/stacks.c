/*
 * Uses most of the smallest stack in a thread that never calls the loaded library. The library's thread-local storage
 * would take a part of that stack.
 */
#define _GNU_SOURCE
#include <libpmem.h>
#include <limits.h>
#include <pthread.h>

static void *use_stack(void *unused)
{
	/* Calls no function: the loader would need stack space to find it. */
	volatile char locals[9500];
	for (size_t at = 0; at < sizeof locals; at++)
		locals[at] = 1;
	return locals[0] == 1 ? NULL : unused;
}

int main(void)
{
	pthread_attr_t smallest;
	pthread_t thread;
	void *failed = &smallest;
	if (pmem_check_version(1, 0) != NULL || pthread_attr_init(&smallest) != 0)
		return 1;
	if (pthread_attr_setstacksize(&smallest, (size_t)PTHREAD_STACK_MIN) != 0)
		return 1;
	if (pthread_create(&thread, &smallest, use_stack, failed) != 0)
		return 1;
	return pthread_join(thread, &failed) != 0 || failed != NULL;
}
