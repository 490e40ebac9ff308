/* The numbers of acknowledged work: a program prints each one on a line of its own. Include it first. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void acknowledge(uint64_t number)
{
	printf("%" PRIu64 "\n", number);
	fflush(stdout);
}

/* Returns the last number that the program printed before it was killed or the power was cut. */
static uint64_t last_printed(void)
{
	uint64_t number = 0;
	const char *path = getenv("PRINTED");
	FILE *printed = path ? fopen(path, "r") : NULL;
	while (printed && fscanf(printed, "%" SCNu64, &number) == 1)
		;
	return number;
}

/* Prints the output of a child, and kills it after so many lines. It is not stopped before. */
static int killed(uint64_t count, pid_t child, FILE *output)
{
	char line[64];
	for (uint64_t lines = 0; fgets(line, sizeof line, output); lines++) {
		fputs(line, stdout);
		if (lines + 1 == count)
			kill(child, SIGKILL);
	}
	int status;
	waitpid(child, &status, 0);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 0 : 1;
}

/* Goes on in a child with its output in a pipe, and returns there. The parent ends with the child. */
static void go_on_in_child(uint64_t count)
{
	int ends[2];
	if (pipe(ends))
		exit(2);
	pid_t child = fork();
	if (child < 0)
		exit(2);
	close(ends[child != 0]);
	if (child)
		exit(killed(count, child, fdopen(ends[0], "r")));
	dup2(ends[1], STDOUT_FILENO);
}
